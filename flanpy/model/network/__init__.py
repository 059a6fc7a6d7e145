"""The network config: its values, its JSON, and the pool of subnets that follows from it."""
