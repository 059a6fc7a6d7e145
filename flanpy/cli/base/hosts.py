"""The words that name a host on the command line: its name, node id, subnet, public address, or a container's address.

Pure: documents come from the daemon or from etcd, with the same keys in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

Document = Mapping[str, Any]

_NAMES = ("host", "node_id", "public_ip", "public_ip6", "subnet", "subnet6", "key")


def answers(row: Document, word: str) -> bool:
    """Report whether a word names the host of this row; a name that two hosts have names both."""
    if word and word in {row.get(name) for name in _NAMES}:
        return True
    host = str(row.get("host") or "").lower()
    if word and word.lower() in {host, host.partition("~")[0]}:
        return True
    try:
        address = ip_address(word)
    except ValueError:
        return False
    return any(address in ip_network(text) for text in (row.get("subnet"), row.get("subnet6")) if text)


def names(rows: Iterable[Document]) -> dict[str, str]:
    """Map what the mesh calls each host (node id, else subnet) to its name for people."""
    return {
        str(row.get("node_id") or row.get("subnet")): str(
            row.get("host") or row.get("node_id") or row.get("subnet")
        )
        for row in rows
    }
