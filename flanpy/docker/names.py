"""The names of running containers as Docker's documents tell them. Pure.

Docker resolves names on one host alone; these are for the other hosts. A short id among the aliases of older engines is
left out: nobody asks another host for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final

from flanpy.model.address import IPAddress, Mac
from flanpy.model.networks.names import MOST_ALIASES, MOST_CONTAINERS, NamedContainer

Names = Mapping[str, tuple[NamedContainer, ...]]
"""The containers of this host by Docker's network."""

EVENTS: Final = ("start", "die", "pause", "unpause", "rename", "connect", "disconnect")
"""Events of containers and networks after which a name or an address may be another."""

Stamp = tuple[Any, ...]


def stamp(listed: Mapping[str, Any]) -> Stamp:
    """Return what of a listed container decides on its names: while it is the same, so is what inspection tells."""
    networks = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    ends = sorted(
        (name, str(end.get("EndpointID")), str(end.get("IPAddress")), str(end.get("GlobalIPv6Address")))
        for name, end in networks.items()
    )
    return (str(listed["Id"]), tuple(listed.get("Names") or ()), tuple(ends))


def container_names(inspected: Mapping[str, Any]) -> dict[str, NamedContainer]:
    """Return what one inspected container is called, by network; raises one of `errors.MALFORMED` for odd documents."""
    name, id_ = str(inspected["Name"]).lstrip("/"), str(inspected["Id"])
    found: dict[str, NamedContainer] = {}
    for network, end in ((inspected.get("NetworkSettings") or {}).get("Networks") or {}).items():
        addresses = tuple(_addresses(end))
        if not addresses:
            continue
        aliases = dict.fromkeys(str(one) for one in end.get("Aliases") or () if not id_.startswith(str(one)))
        aliases.pop(name, None)
        made = _milliseconds(inspected.get("Created"))
        found[str(network)] = NamedContainer(name, addresses, tuple(aliases)[:MOST_ALIASES], _mac(end), made)
    return found


def _milliseconds(created: Any) -> int:
    """Return the time of a document in ms, 0 for none: Docker writes nanoseconds and UTC."""
    try:
        return max(0, int(datetime.fromisoformat(created).timestamp() * 1000))
    except (TypeError, ValueError, OverflowError):
        return 0


def _mac(end: Mapping[str, Any]) -> Mac | None:
    return Mac.parse(text.lower()) if (text := str(end.get("MacAddress") or "")) else None


def by_network(containers: Iterable[Mapping[str, NamedContainer]]) -> Names:
    """Return the containers of each network, in the order of names; too many are cut off."""
    found: dict[str, list[NamedContainer]] = {}
    for one in containers:
        for network, named in one.items():
            found.setdefault(network, []).append(named)
    return {
        network: tuple(sorted(boxes, key=lambda box: box.name)[:MOST_CONTAINERS])
        for network, boxes in sorted(found.items())
    }


def _addresses(end: Mapping[str, Any]) -> Iterable[IPAddress]:
    for key in ("IPAddress", "GlobalIPv6Address"):
        if text := end.get(key):
            yield ip_address(text)
