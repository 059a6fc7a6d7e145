"""What must stand on a host, computed from etcd alone, and what does, by `ip` and `bridge`. Nothing of flanpy is used.

Written from flannel's documented facts: per lease of another host one neighbour, one FDB entry and one route on the
device, which has the own subnet's base as a /32. Both sides are lines, so a difference reads as what to type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address
from typing import Any

from integration.chaos.kinds import DEVICE
from integration.lab import ETCD_PREFIX, Entry, Host

SUBNETS = f"{ETCD_PREFIX}/subnets/"
VNI, PORT, OVERHEAD = 1, 8472, 50
OUR_PROTO = "70"


@dataclass(frozen=True, slots=True)
class Lease:
    """One vxlan lease as it stands in etcd; `node` is "" for hosts that write none."""

    subnet: IPv4Network
    public_ip: str
    mac: str
    node: str


def subnet_of(key: str) -> IPv4Network | None:
    """The subnet that a lease's key names; None for what names none."""
    address, _, length = key.rpartition("/")[2].partition("-")
    try:
        return IPv4Network(f"{address}/{length}")
    except ValueError:
        return None


def lease_of(entry: Entry) -> Lease | None:
    """The lease that an entry is; None for what is none."""
    subnet = subnet_of(entry.key)
    try:
        value = json.loads(entry.value)
        mac, public_ip = value["BackendData"]["VtepMAC"], str(ip_address(value["PublicIP"]))
    except (ValueError, KeyError, TypeError):
        return None
    return None if subnet is None else Lease(subnet, public_ip, mac, value.get("NodeID", ""))


def leases_of(entries: Iterable[Entry]) -> list[Lease]:
    """Every lease among the entries."""
    return [lease for entry in entries if (lease := lease_of(entry)) is not None]


def wrongs(host: Host, leases: Iterable[Lease]) -> list[str]:
    """What is missing on the host (-) and what is too much (+), and what its lease says wrongly."""
    must, does = set(_wanted(host, leases)), set(_standing(host))
    return [f"{host.name}: -{line}" for line in sorted(must - does)] + [
        f"{host.name}: +{line}" for line in sorted(does - must)
    ]


def _wanted(host: Host, leases: Iterable[Lease]) -> Iterator[str]:
    by_owner = list(leases)
    own = [lease for lease in by_owner if lease.node == host.name]
    if len(own) != 1:
        yield f"one lease of {host.name} in etcd, not {len(own)}"
        return
    address, mtu = _underlay(host)
    if own[0].public_ip != address:
        yield f"lease of {host.name} says {address}, not {own[0].public_ip}"
    if str(host.subnet_file.subnet.network) != str(own[0].subnet) or host.subnet_file.mtu != mtu - OVERHEAD:
        yield f"subnet.env of {host.name} says {own[0].subnet} and {mtu - OVERHEAD}: {host.subnet_file}"
    base = own[0].subnet.network_address
    mtu, nic = mtu - OVERHEAD, host.seat.nic
    yield f"link {DEVICE} {own[0].mac} mtu {mtu} vni {VNI} local {address} dev {nic} port {PORT} UP"
    yield f"addr {DEVICE} {base}/32"
    for peer in by_owner:
        if peer is not own[0]:
            vtep = peer.subnet.network_address
            yield f"neigh {vtep} lladdr {peer.mac}"
            yield f"fdb {peer.mac} dst {peer.public_ip}"
            yield f"route {peer.subnet} via {vtep} dev {DEVICE} proto {OUR_PROTO} onlink"


def _underlay(host: Host) -> tuple[str, int]:
    """The NIC's own address and MTU now."""
    (row,) = (each for each in host.ip_json("-4", "address", "show", "dev", host.seat.nic) if each)
    return str(row["addr_info"][0]["local"]), int(row["mtu"])


def _standing(host: Host) -> Iterator[str]:
    links = {link["ifname"]: link for link in host.ip_json("-d", "link", "show")}
    for name, link in links.items():
        if name.startswith("flannel"):
            yield _link_line(link)
    if DEVICE in links:
        yield from _entries(host)
    for route in host.ip_json("-4", "route", "show", "table", "all"):
        if route.get("protocol") == OUR_PROTO or (
            route.get("dev") == DEVICE and route.get("protocol") != "kernel"
        ):
            yield _route_line(route)


def _link_line(link: dict[str, Any]) -> str:
    data = link.get("linkinfo", {}).get("info_data", {})
    return (
        f"link {link['ifname']} {link.get('address')} mtu {link['mtu']} vni {data.get('id')} local {data.get('local')}"
        f" dev {data.get('link')} port {data.get('port')} {'UP' if 'UP' in link['flags'] else 'DOWN'}"
    )


def _entries(host: Host) -> Iterator[str]:
    for row in host.ip_json("-4", "address", "show", "dev", DEVICE):
        for each in row.get("addr_info", []):
            yield f"addr {DEVICE} {each['local']}/{each['prefixlen']}"
    for row in host.ip_json("neigh", "show", "dev", DEVICE, "nud", "permanent"):
        yield f"neigh {row['dst']} lladdr {row.get('lladdr')}"
    for row in host.bridge_json("fdb", "show", "dev", DEVICE):
        yield f"fdb {row['mac']} dst {row.get('dst')}"


def _route_line(route: dict[str, Any]) -> str:
    onlink = " onlink" if "onlink" in route.get("flags", []) else ""
    way = f"via {route.get('gateway')} dev {route.get('dev')}"
    return f"route {route['dst']} {way} proto {route.get('protocol')}{onlink}"
