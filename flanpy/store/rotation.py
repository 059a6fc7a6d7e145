"""The rotation of all hosts' keys in etcd, below `<prefix>/keys/rotation/`; flannel reads nothing there.

`request` has the id of the last one that was asked for. `turn` is the host whose turn it is, bound to an etcd lease, so
that a host that ends in its turn holds up nobody. `done/NODE` has the id that a host has carried out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from flanpy.errors import MALFORMED
from flanpy.store.port import KeyValue
from flanpy.store.schema import LARGEST_VALUE

_ROTATION: Final = "/keys/rotation/"
_DONE: Final = "done/"


class _Value(msgspec.Struct):
    id: str = msgspec.field(name="ID")
    at: float = msgspec.field(name="At", default=0.0)


_read = msgspec.json.Decoder(_Value).decode


@dataclass(frozen=True, slots=True)
class Rotation:
    """The state in etcd: `id` of the last request ("" for none), `at` its moment, and the one each host carried out."""

    id: str = ""
    at: float = 0.0
    turn: str = ""
    done: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def is_due(self, node_id: str) -> bool:
        """Report whether a host has yet to change its key."""
        return bool(self.id) and self.done.get(node_id) != self.id


def rotation_prefix(prefix: str) -> str:
    """Return the prefix of all of it."""
    return prefix.rstrip("/") + _ROTATION


def request_key(prefix: str) -> str:
    """Return the key of the request."""
    return rotation_prefix(prefix) + "request"


def turn_key(prefix: str) -> str:
    """Return the key of the host whose turn it is."""
    return rotation_prefix(prefix) + "turn"


def done_key(prefix: str, node_id: str) -> str:
    """Return the key of what a host has carried out."""
    return rotation_prefix(prefix) + _DONE + quote(node_id, safe="")


def encode_request(request_id: str, at: float) -> bytes:
    """Return the value of a request."""
    return json.dumps({"ID": request_id, "At": round(at, 3)}).encode()


def decode_rotation(items: Iterable[KeyValue], prefix: str) -> Rotation:
    """Read all of it; a request that cannot be read is none."""
    request, turn, done = "", "", {}
    at = 0.0
    for item in items:
        name = item.key.removeprefix(rotation_prefix(prefix))
        text = item.value[:LARGEST_VALUE].decode("utf-8", "replace")
        if name == "turn":
            turn = text
        elif name.startswith(_DONE):
            done[unquote(name.removeprefix(_DONE))] = text
        elif name == "request":
            try:
                value = _read(item.value[:LARGEST_VALUE])
            except MALFORMED:
                continue
            request, at = value.id, value.at
    return Rotation(request, at, turn, MappingProxyType(done))
