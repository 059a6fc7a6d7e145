"""The actual objects on a host, by `ip` and `bridge`: every overlay device with all that is on it, every route of it.

Lines carry the marks of the program that runs there; a program without marks has lines without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from integration.hosts.daemon import Marks
from integration.hosts.host import Host
from integration.truth import wireguard


def standing(host: Host) -> set[str]:
    """Return a line for each object that is the overlay's."""
    return set(_standing(host))


def _standing(host: Host) -> Iterator[str]:
    marks, ours = host.daemon.program.marks, set()
    for link in host.ip_json("-d", "link", "show"):
        name = link["ifname"]
        if name.startswith("flannel") or (marks.alias and link.get("ifalias") == marks.alias):
            ours.add(name)
            yield _link_line(link, marks)
            yield from _entries_on(host, name)
            if link.get("linkinfo", {}).get("info_kind") == "wireguard":
                yield from wireguard.lines(host.namespace, name)
    for family in ("-4", "-6"):
        for route in host.ip_json(family, "-d", "route", "show", "table", "all"):
            if _is_ours(route, ours, marks, host.seat.nic):
                yield _route_line(route, marks)


def _is_ours(route: Mapping[str, Any], ours: set[str], marks: Marks, nic: str) -> bool:
    if route.get("protocol") == "kernel":
        return False
    if route.get("dev") in ours:
        return True
    if marks.proto:
        return route.get("protocol") == marks.proto
    return route.get("dev") == nic and "gateway" in route and route["dst"] != "default"


def _link_line(link: Mapping[str, Any], marks: Marks) -> str:
    details = link.get("linkinfo", {})
    data = details.get("info_data", {})
    alias = f" {link.get('ifalias', 'unmarked')}" if marks.alias else ""
    tail = f"{alias} {'UP' if 'UP' in link['flags'] else 'DOWN'}"
    if details.get("info_kind") == "tun":
        kept = "persistent" if data.get("persist") else "fleeting"
        return f"link {link['ifname']} {data.get('type')} {kept} mtu {link['mtu']}{tail}"
    if details.get("info_kind") == "ipip":
        ends = f"remote {data.get('remote')} mtu {link['mtu']} local {data.get('local')}"
        return f"link {link['ifname']} ipip {ends}{tail}"
    if details.get("info_kind") == "wireguard":
        return f"link {link['ifname']} wireguard mtu {link['mtu']}{tail}"
    learning = " learning" if data.get("learning") else ""
    return (
        f"link {link['ifname']} {link.get('address')} mtu {link['mtu']} vni {data.get('id')}"
        f" local {data.get('local') or data.get('local6')} dev {data.get('link')} port {data.get('port')}"
        f"{tail}{learning}"
    )


def _entries_on(host: Host, name: str) -> Iterator[str]:
    for row in host.ip_json("address", "show", "dev", name):
        for address in row.get("addr_info", []):
            if address["scope"] != "link":
                yield f"addr {name} {address['local']}/{address['prefixlen']}"
    for entry in host.ip_json("neigh", "show", "dev", name, "nud", "permanent"):
        yield f"neigh {name} {entry['dst']} lladdr {entry.get('lladdr')}"
    for entry in host.bridge_json("fdb", "show", "dev", name):
        yield f"fdb {name} {entry['mac']} dst {entry.get('dst')}"


def _route_line(route: Mapping[str, Any], marks: Marks) -> str:
    table = f" table {route['table']}" if route.get("table", "main") != "main" else ""
    onlink = " onlink" if "onlink" in route.get("flags", []) else ""
    proto = f" proto {route.get('protocol')}" if marks.proto else ""
    return f"route {route['dst']} via {route.get('gateway')} dev {route.get('dev')}{proto}{onlink}{table}"
