"""Leases out of a list of hosts, a file or a URL, in place of etcd: nothing is allocated, and nothing is written."""
