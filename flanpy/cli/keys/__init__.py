"""`flanpyctl keys`: WireGuard's keys, seen and changed."""
