"""The nouns of flanpy: immutable values that cross the borders between packages.

Owns what a network, lease, kernel object, fact or condition *is*. Knows no asyncio, no I/O, no clock.
"""
