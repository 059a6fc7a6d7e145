"""Faults tried one by one on real parts, and what became of them."""
