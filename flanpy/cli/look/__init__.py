"""Inspection: `flanpyctl status`, `diff`, `peers`, `ping`, `trace`, `events` and `top`."""
