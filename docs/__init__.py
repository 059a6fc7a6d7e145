"""The documentation, and in `generate` the part of it that is made from the code."""
