"""Commands about the cluster as a whole: its first host, hosts that join and leave, tokens."""
