"""The figures of flanpy: measured by `python -m bench`, printed as a table, kept as JSON and as a plot.

Ratios are always taken between runs that alternate (ours, theirs, ours, theirs), so that a noisy machine disturbs both
sides alike; values are medians. Nothing here asserts a time: a missed target is shown, not raised.
"""
