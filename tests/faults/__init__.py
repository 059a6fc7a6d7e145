"""Faults of etcd, kernel and host, tried on real parts."""
