"""Reading documents of a daemon that may be of another version: what is missing or of another kind is empty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from flanpy.model.address import IPAddress, IPNetwork

Document = Mapping[str, Any]

_LONGEST = 1000
"""Characters of a text that are shown."""


def part(document: Any, *keys: str) -> Document:
    """The mapping below these keys."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def items(document: Any, key: str) -> Sequence[Any]:
    """The list below a key."""
    found = document.get(key) if isinstance(document, Mapping) else None
    return found if isinstance(found, list) else ()


def rows(document: Any, key: str) -> Sequence[Document]:
    """The mappings in the list below a key."""
    return [row for row in items(document, key) if isinstance(row, Mapping)]


def texts(document: Any, key: str) -> tuple[str, ...]:
    """The texts in the list below a key."""
    return tuple(one[:_LONGEST] for one in items(document, key) if isinstance(one, str) and one)


def text(document: Document, key: str) -> str:
    found = document.get(key)
    return found[:_LONGEST] if isinstance(found, str) else ""


def host(document: Document) -> str:
    """Return a host's name for people, "" if it has none."""
    return text(document, "host") or text(document, "node_id")


def number(document: Document, key: str) -> float | None:
    found = document.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def count(document: Document, key: str) -> int:
    return int(number(document, key) or 0)


def address(value: object) -> IPAddress | None:
    try:
        return ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def network(value: object) -> IPNetwork | None:
    try:
        return ip_network(value) if isinstance(value, str) else None
    except ValueError:
        return None


def networks(document: Document, *keys: str) -> tuple[IPNetwork, ...]:
    """Those below the keys that are networks."""
    return tuple(found for key in keys if (found := network(document.get(key))) is not None)
