"""The trace of a packet through this host's kernel: read once, then walked by plain functions. For commands only."""
