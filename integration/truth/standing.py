"""What does stand on a host, by `ip` and `bridge`: every overlay device with all that is on it, every route of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from integration.hosts.host import Host
from integration.truth.fabric import Fabric

OUR_PROTO = "70"


def standing(host: Host, fabric: Fabric) -> Iterator[str]:
    """A line for each object."""
    links = {link["ifname"]: link for link in host.ip_json("-d", "link", "show")}
    for name, link in links.items():
        if name.startswith("flannel"):
            yield _link_line(link)
    for device in fabric.devices:
        if device.name in links:
            yield from _entries(host, device.name, device.family)
    ours = {device.name for device in fabric.devices}
    for family in ("-4", "-6"):
        for route in host.ip_json(family, "route", "show", "table", "all"):
            if route.get("protocol") == OUR_PROTO or (
                route.get("dev") in ours and route.get("protocol") != "kernel"
            ):
                yield _route_line(route)


def _link_line(link: dict[str, Any]) -> str:
    info = link.get("linkinfo", {})
    data, state = info.get("info_data", {}), "UP" if "UP" in link["flags"] else "DOWN"
    if info.get("info_kind") == "tun":
        return f"link {link['ifname']} {data.get('type')} mtu {link['mtu']} {state}"
    local = data.get("local") or data.get("local6")
    return (
        f"link {link['ifname']} {link.get('address')} mtu {link['mtu']} vni {data.get('id')} local {local}"
        f" dev {data.get('link')} port {data.get('port')} {state}"
    )


def _entries(host: Host, name: str, family: str) -> Iterator[str]:
    for row in host.ip_json(family, "address", "show", "dev", name):
        for each in row.get("addr_info", []):
            if each.get("scope") != "link":
                yield f"addr {name} {each['local']}/{each['prefixlen']}"
    for row in host.ip_json("neigh", "show", "dev", name, "nud", "permanent"):
        yield f"neigh {name} {row['dst']} lladdr {row.get('lladdr')}"
    for row in host.bridge_json("fdb", "show", "dev", name):
        yield f"fdb {name} {row['mac']} dst {row.get('dst')}"


def _route_line(route: dict[str, Any]) -> str:
    onlink = " onlink" if "onlink" in route.get("flags", []) else ""
    way = f"via {route.get('gateway')} dev {route.get('dev')}"
    return f"route {route['dst']} {way} proto {route.get('protocol')}{onlink}"
