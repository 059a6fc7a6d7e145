"""The reconcile loop: the one task that writes to the kernel."""
