"""Faults tried on real parts: what they are and what became of them."""
