"""`flanpyctl subnets`: leases and reservations, listed and held."""
