"""Docker: what it is told (daemon.json, networks) and what it really runs."""
