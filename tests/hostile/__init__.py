"""Hostile input: what strangers may send or write, and what must not come of it."""
