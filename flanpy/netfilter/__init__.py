"""Packet filters: what must be accepted, masqueraded or guarded, read from and written to the kernel."""
