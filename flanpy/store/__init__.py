"""etcd: the session, list-then-watch, the lease schema and the keeper of our own lease."""
