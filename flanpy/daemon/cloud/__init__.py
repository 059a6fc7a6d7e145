"""The cloud backends in the daemon: when the keeper of routes runs, and what it has of etcd, disk and status."""
