"""flanpyctl: inspection and control from the command line."""
