"""Leasing in the daemon: the watches, the keeper of our own lease, the move between backends, the drain."""
