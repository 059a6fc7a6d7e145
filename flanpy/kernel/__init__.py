"""Netlink: reads and writes kernel objects in batches, and watches for what moves behind our back."""
