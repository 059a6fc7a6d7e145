"""The record of one host's names on one network as it stands in etcd: `<prefix>/names/NETWORK/NODEID`.

One value for host and network: a key for each container makes ten times as many keys, and a listing four times as long.
Pure. A record that cannot be read is an error for its host alone.
"""

from __future__ import annotations

import json
from typing import Any, Final

from flanpy.errors import MALFORMED, ConfigError
from flanpy.model.networks.names import ToldNames, containers_as_json, creation_as_json, read_containers
from flanpy.model.quoting import quoted

LARGEST: Final = 1 << 20
"""Octets of a record; etcd takes 1.5 MB."""

_NAMES: Final = "/names/"
_LONGEST_HOST: Final = 253


def names_prefix(prefix: str, network: str = "") -> str:
    """Return the prefix of the records of one network, or of all."""
    return prefix.rstrip("/") + _NAMES + (f"{network}/" if network else "")


def names_key(prefix: str, network: str, node_id: str) -> str:
    """Return the key of one record."""
    return f"{names_prefix(prefix)}{network}/{node_id}"


def read_key(prefix: str, key: str) -> tuple[str, str]:
    """Return network and node id of a key below `names_prefix`."""
    network, _, node_id = key.removeprefix(names_prefix(prefix)).partition("/")
    return network, node_id


def encode_names(told: ToldNames) -> bytes:
    """Return the value of a record; one that would be too large has half of its containers, or fewer."""
    boxes = told.containers
    while True:
        document = {"Host": told.host, "C": containers_as_json(boxes), "T": creation_as_json(boxes)}
        value = json.dumps(document, separators=(",", ":")).encode()
        if len(value) <= LARGEST or not boxes:
            return value
        boxes = boxes[: len(boxes) // 2]


def decode_names(network: str, node_id: str, value: bytes) -> ToldNames:
    """Read a record. Raises ConfigError of one line, whatever the bytes are."""
    try:
        if len(value) > LARGEST:
            raise ValueError(f"{len(value)} bytes are more than the {LARGEST} of a record")
        found: dict[str, Any] = json.loads(value)
        host = found.get("Host", "")
        if not isinstance(host, str) or len(host) > _LONGEST_HOST or not host.isprintable():
            raise ValueError("Host is no name")
        return ToldNames(network, node_id, host, read_containers(found["C"], found.get("T")))
    except MALFORMED as error:
        raise ConfigError(
            f"names of {quoted(node_id)} on network {quoted(network)} cannot be read: {quoted(str(error))}"
        ) from error
