"""Serving in the daemon: the control socket and the HTTP listeners."""
