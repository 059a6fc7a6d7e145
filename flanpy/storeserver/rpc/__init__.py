"""etcd's services over gRPC: one file each.

Own the translation of messages to calls of the store, and of refusals to gRPC's codes. Must not touch the database.
"""
