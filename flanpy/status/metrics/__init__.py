"""Prometheus metrics: one collector over the status snapshot, one module for each subject."""
