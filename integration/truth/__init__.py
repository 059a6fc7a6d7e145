"""What must stand on a host by the words of etcd, what does stand by the words of `ip`, and the history of leases."""
