"""The session with etcd: connections, attempts, credentials, the calls, and the watch.

Owns how etcd is spoken to. Must not know our own lease: nothing here imports `store.own`.
"""
