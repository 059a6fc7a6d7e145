"""The list of hosts that were shut out, in etcd below `<prefix>/keys/revoked/`; flannel reads nothing there.

A key is the host's node id, or of a host of flannel its WireGuard key, quoted as in a URL.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

import msgspec

from flanpy.errors import MALFORMED
from flanpy.model.revocation import Revocation
from flanpy.store.port import KeyValue
from flanpy.store.schema import LARGEST_VALUE

_REVOKED: Final = "/keys/revoked/"


class _Value(msgspec.Struct):
    node_id: str = msgspec.field(name="NodeID", default="")
    keys: tuple[str, ...] = msgspec.field(name="Keys", default=())
    host: str = msgspec.field(name="Host", default="")
    at: float = msgspec.field(name="At", default=0.0)


_read = msgspec.json.Decoder(_Value).decode


def revoked_prefix(prefix: str) -> str:
    """Return the prefix of every entry."""
    return prefix.rstrip("/") + _REVOKED


def revoked_key(prefix: str, one: Revocation) -> str:
    """Return the key of one entry."""
    return revoked_prefix(prefix) + quote(one.node_id or "".join(one.keys[:1]), safe="")


def encode_revocation(one: Revocation) -> bytes:
    """Return the value of an entry."""
    value = {"NodeID": one.node_id, "Keys": list(one.keys), "Host": one.host, "At": round(one.at, 3)}
    return json.dumps(value).encode()


def decode_revocations(items: Iterable[KeyValue]) -> tuple[tuple[Revocation, ...], tuple[str, ...]]:
    """Read all entries: those that can be used, and the keys of those that cannot."""
    found: list[Revocation] = []
    unread: list[str] = []
    for item in items:
        try:
            value = _read(item.value[:LARGEST_VALUE])
        except MALFORMED:
            unread.append(item.key)
            continue
        if value.node_id or any(value.keys):
            found.append(Revocation(value.node_id, tuple(filter(None, value.keys)), value.host, value.at))
        else:
            unread.append(item.key)
    return tuple(found), tuple(unread)
