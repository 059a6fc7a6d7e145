"""The status page: a read-only view of the cluster as one daemon sees it, for people with a browser."""
