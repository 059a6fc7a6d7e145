"""Status: conditions, the snapshot, metrics and the HTTP listeners that serve them."""
