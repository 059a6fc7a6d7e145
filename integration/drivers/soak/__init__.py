"""Soak: real daemons among a thousand simulated peers that come, go and change for a long time; nothing may grow.

crowd writes the leases, sample reads /proc and etcd, trend fits a line through what was read, report tells.
"""
