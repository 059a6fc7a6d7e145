"""The expected objects on a host by the content of etcd, the actual ones by the output of `ip`, and the history
of leases."""
