"""`flanpyctl docker`: Docker on this host's subnet."""
