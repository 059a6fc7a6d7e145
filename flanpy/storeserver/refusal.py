"""Refusals: what the store says no with, in etcd's own words, so that clients of etcd understand it.

Owns the texts and codes (etcd api/v3rpc/rpctypes/error.go). Must not know gRPC: `rpc.calls` translates the code's name.
"""

from __future__ import annotations

from enum import Enum

from flanpy.errors import FlanpyError


class RefusalReason(Enum):
    """A refusal: the name of its gRPC code, and etcd's text."""

    EMPTY_KEY = ("INVALID_ARGUMENT", "etcdserver: key is not provided")
    KEY_NOT_FOUND = ("INVALID_ARGUMENT", "etcdserver: key not found")
    VALUE_PROVIDED = ("INVALID_ARGUMENT", "etcdserver: value is provided")
    LEASE_PROVIDED = ("INVALID_ARGUMENT", "etcdserver: lease is provided")
    TOO_MANY_OPS = ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request")
    DUPLICATE_KEY = ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request")
    INVALID_SORT = ("INVALID_ARGUMENT", "etcdserver: invalid sort option")
    TOO_LARGE = ("INVALID_ARGUMENT", "etcdserver: request is too large")
    COMPACTED = ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
    FUTURE_REVISION = ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision")
    NO_SPACE = ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
    LEASE_NOT_FOUND = ("NOT_FOUND", "etcdserver: requested lease not found")
    LEASE_EXISTS = ("FAILED_PRECONDITION", "etcdserver: lease already exists")
    TTL_TOO_LARGE = ("OUT_OF_RANGE", "etcdserver: too large lease TTL")
    AUTH_OFF = ("FAILED_PRECONDITION", "etcdserver: authentication is not enabled")
    WRONG_LOGIN = ("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password")
    NO_USER = ("INVALID_ARGUMENT", "etcdserver: user name is empty")
    INVALID_TOKEN = ("UNAUTHENTICATED", "etcdserver: invalid auth token")
    PERMISSION_DENIED = ("PERMISSION_DENIED", "etcdserver: permission denied")
    NO_MEMBER = (
        "PERMISSION_DENIED",
        "flanpy-store: this certificate is no member's of the cluster: flanpyctl cluster join",
    )
    MOVED = (
        "FAILED_PRECONDITION",
        "flanpy-store: the cluster's store has moved, see flanpyctl status: nothing is written here any more",
    )
    CORRUPT = ("DATA_LOSS", "etcdserver: corrupt cluster")
    STOPPED = ("UNAVAILABLE", "etcdserver: server stopped")

    @property
    def code(self) -> str:
        """Return the name of the gRPC code."""
        return self.value[0]

    @property
    def text(self) -> str:
        """Return etcd's text."""
        return self.value[1]


class Refusal(FlanpyError):
    """A request that the store does not do; nothing of it took effect."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Overtaken(FlanpyError):
    """A newer store serves the cluster, so this one must not; the message says where."""
