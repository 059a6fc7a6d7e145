"""Judges: one pure function for each condition, by subject. What they share is in `verdict`."""
