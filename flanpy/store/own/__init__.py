"""Our own lease: choose a subnet, acquire it, renew it, release it.

Owns the decisions and their writes through `store.port`. Must not import `store.session`.
"""
