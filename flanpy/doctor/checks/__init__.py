"""Checks: plain functions from facts to findings, by subject. What they share is in `common`."""
