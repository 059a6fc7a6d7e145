"""Taking a host out: `flanpyctl drain` and `cleanup`."""
