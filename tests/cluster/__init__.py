"""Tests of the cluster's tokens, records and certificates."""
