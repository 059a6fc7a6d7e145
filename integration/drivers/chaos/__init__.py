"""Chaos: whole hosts under random faults of every family, and a shadow checker that knows nothing of flanpy's code.

A seed alone says which fault strikes where, when and for how long (schedule). Faults come in storms; after each the lab
is left alone until kernel, leases and packets are as they must be, by the words of `ip`, `bridge`, etcd and numbered
packets (oracle, shadow, foreign, flows). What came of it is a table, a JSON document and a picture (report, picture).
"""
