"""From desired and observed objects to ordered operations: pure functions.

Owns ownership, the difference, the order, the deletion gates, the brake, and the rendering of operations as
`ip`/`bridge` lines. Must not do: any I/O, any look at a clock, any memory between two calls.
"""
