"""Commands about the embedded store: copies of it, and what comes back from one."""
