"""Named networks: one subnet on all hosts, of which each host has a slice. Pure values."""
