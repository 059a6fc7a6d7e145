"""Numbered packets between containers, and what became of them."""
