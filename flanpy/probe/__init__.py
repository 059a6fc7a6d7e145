"""Measures how well each peer is reached, over the overlay and beneath it, and says why where it is not.

Sends few and small packets, by one socket a family; what they tell is judged by pure functions. Must not: change the
host, know of etcd, or decide what an operator is shown (that is `status/`).
"""
