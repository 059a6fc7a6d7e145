"""What must stand on a host, computed from etcd alone. Nothing of flanpy is used.

Written from flannel's documented facts. With vxlan: per lease of another host one neighbour, one FDB entry and one
route on the device, which has the own subnet's base as a /32; with host-gw one route through the other host; with udp
one route for all. Both sides are lines, so a difference reads as what to type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from integration.etcd.api import ETCD_PREFIX, Entry
from integration.hosts.host import Host
from integration.truth.fabric import VXLAN, Device, Fabric
from integration.truth.standing import OUR_PROTO, standing

SUBNETS = f"{ETCD_PREFIX}/subnets/"
VNI, PORT = 1, 8472

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Lease:
    """One lease as it stands in etcd; `node` is "" for hosts that write none. The last three are IPv6's."""

    subnet: IPv4Network
    public_ip: str
    mac: str
    node: str
    kind: str = "vxlan"
    subnet6: IPv6Network | None = None
    public_ip6: str = ""
    mac6: str = ""

    def of(self, family: str) -> tuple[Network | None, str, str]:
        """Subnet, public address and MAC of a family."""
        if family == "-6":
            return self.subnet6, self.public_ip6, self.mac6
        return self.subnet, self.public_ip, self.mac


def subnets_of(key: str) -> tuple[Network, ...]:
    """The subnets that a lease's key names; none for what names none."""
    try:
        return tuple(
            ip_network("/".join(part.rsplit("-", 1))) for part in key.removeprefix(SUBNETS).split("&")
        )
    except ValueError:
        return ()


def subnet_of(key: str) -> IPv4Network | None:
    """The IPv4 subnet that a lease's key names; None for what names none."""
    found = subnets_of(key)
    return found[0] if found and isinstance(found[0], IPv4Network) else None


def lease_of(entry: Entry) -> Lease | None:
    """The lease that an entry is; None for what is none."""
    subnet = subnet_of(entry.key)
    subnet6 = next((each for each in subnets_of(entry.key) if isinstance(each, IPv6Network)), None)
    try:
        value = json.loads(entry.value)
        public_ip = str(ip_address(value["PublicIP"]))
        kind = value.get("BackendType") or ""
        mac = value["BackendData"]["VtepMAC"] if kind == "vxlan" else ""
        mac6 = value["BackendV6Data"]["VtepMAC"] if subnet6 and kind == "vxlan" else ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if subnet is None:
        return None
    return Lease(
        subnet, public_ip, mac, value.get("NodeID", ""), kind, subnet6, value.get("PublicIPv6") or "", mac6
    )


def leases_of(entries: Iterable[Entry]) -> list[Lease]:
    """Every lease among the entries."""
    return [lease for entry in entries if (lease := lease_of(entry)) is not None]


def wrongs(host: Host, leases: Iterable[Lease], fabric: Fabric = VXLAN) -> list[str]:
    """What is missing on the host (-) and what is too much (+), and what its lease says wrongly."""
    must, does = set(_wanted(host, leases, fabric)), set(standing(host, fabric))
    return [f"{host.name}: -{line}" for line in sorted(must - does)] + [
        f"{host.name}: +{line}" for line in sorted(does - must)
    ]


def _wanted(host: Host, leases: Iterable[Lease], fabric: Fabric) -> Iterator[str]:
    by_owner = [lease for lease in leases if lease.kind == fabric.type]
    own = [lease for lease in by_owner if lease.node == host.name]
    if len(own) != 1:
        yield f"one lease of {host.name} in etcd, not {len(own)}"
        return
    address, mtu = _underlay(host, "-4")
    if own[0].public_ip != address:
        yield f"lease of {host.name} says {address}, not {own[0].public_ip}"
    said, wanted = host.subnet_file, mtu - fabric.overhead
    if str(said.subnet.network) != str(own[0].subnet) or said.mtu != wanted:
        yield f"subnet.env of {host.name} says {own[0].subnet} and {wanted}: {said}"
    peers = [lease for lease in by_owner if lease is not own[0]]
    if fabric.name == "host-gw":
        for peer in peers:
            yield f"route {peer.subnet} via {peer.public_ip} dev {host.seat.nic} proto {OUR_PROTO}"
    elif fabric.name == "udp":
        yield from _tunnel(own[0], mtu, fabric)
    else:
        for device in fabric.devices:
            yield from _vxlan(host, device, own[0], peers)


def _tunnel(own: Lease, mtu: int, fabric: Fabric) -> Iterator[str]:
    (device,) = fabric.devices
    yield f"link {device.name} tun mtu {mtu - device.overhead} UP"
    yield f"addr {device.name} {own.subnet.network_address}/32"
    yield f"route {fabric.config['Network']} via None dev {device.name} proto {OUR_PROTO}"


def _vxlan(host: Host, device: Device, own: Lease, peers: Iterable[Lease]) -> Iterator[str]:
    subnet, _, mac = own.of(device.family)
    if subnet is None:
        yield f"a subnet of {host.name} for {device.name}"
        return
    address, mtu = _underlay(host, device.family)
    name = device.name
    yield (
        f"link {name} {mac} mtu {mtu - device.overhead} vni {VNI} local {address}"
        f" dev {host.seat.nic} port {PORT} UP"
    )
    yield f"addr {name} {subnet.network_address}/{subnet.max_prefixlen}"
    for peer in peers:
        theirs, public, peer_mac = peer.of(device.family)
        if theirs is not None:
            vtep = theirs.network_address
            yield f"neigh {name} {vtep} lladdr {peer_mac}"
            yield f"fdb {name} {peer_mac} dst {public}"
            yield f"route {theirs} via {vtep} dev {name} proto {OUR_PROTO} onlink"


def _underlay(host: Host, family: str) -> tuple[str, int]:
    """The NIC's own address and MTU now."""
    rows: list[dict[str, Any]] = host.ip_json(
        family, "address", "show", "dev", host.seat.nic, "scope", "global"
    )
    (row,) = (each for each in rows if each)
    return str(row["addr_info"][0]["local"]), int(row["mtu"])
