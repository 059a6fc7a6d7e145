"""Names of containers between root's file, etcd, the disk and the resolver."""
