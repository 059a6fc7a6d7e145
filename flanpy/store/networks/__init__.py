"""Named networks in etcd: their definitions, and who has which slice of them."""
