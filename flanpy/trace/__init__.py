"""What a packet meets in this host's kernel: read once, then walked through by plain functions. For commands only."""
