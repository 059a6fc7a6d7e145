"""Periodic looks at what the reconcile loop does not change: probes, tuning, transit, Docker."""
