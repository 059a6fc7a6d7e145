"""Backends: pure planners from a `World` to the kernel objects that should exist."""
