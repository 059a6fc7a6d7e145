"""Docker: its configuration (daemon.json, networks) and its actual state."""
