"""The expected objects on a host, computed from leases in etcd and the network config alone. Nothing of flanpy is used.

Written from flannel's documented facts. With vxlan: per lease of another host one neighbour, one FDB entry and one
route on the device, which has the own subnet's base as a /32; with host-gw one route through the other host; with ipip
one by the device, whose gateway is the other host; with wireguard one peer and one route; with udp one route for all.
What must stand and what does are lines, so a difference reads as what to type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import chain
from typing import Any

from integration.etcd.api import ETCD_PREFIX, Entry
from integration.hosts.host import Host
from integration.truth.fabric import VXLAN, Device, Fabric
from integration.truth.standing import standing

SUBNETS = f"{ETCD_PREFIX}/subnets/"

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Lease:
    """One lease as it stands in etcd; `node` is "" for hosts that write none. The last three are IPv6's."""

    subnet: IPv4Network | None
    public_ip: str
    mac: str
    node: str
    kind: str = "vxlan"
    subnet6: IPv6Network | None = None
    public_ip6: str = ""
    mac6: str = ""
    public_key: str = ""

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
        public_ip = str(ip_address(value["PublicIP"])) if subnet else ""
        kind = value.get("BackendType") or ""
        mac = value["BackendData"]["VtepMAC"] if subnet and kind == "vxlan" else ""
        mac6 = value["BackendV6Data"]["VtepMAC"] if subnet6 and kind == "vxlan" else ""
        data = value.get("BackendData") or value.get("BackendV6Data") or {}
        public_key = data["PublicKey"] if kind == "wireguard" else ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if subnet is None and subnet6 is None:
        return None
    node, public_ip6 = value.get("NodeID", ""), value.get("PublicIPv6") or ""
    return Lease(subnet, public_ip, mac, node, kind, subnet6, public_ip6, mac6, public_key)


def leases_of(entries: Iterable[Entry]) -> list[Lease]:
    """Every lease among the entries."""
    return [lease for entry in entries if (lease := lease_of(entry)) is not None]


def own_leases(host: Host, leases: Iterable[Lease]) -> list[Lease]:
    """Return the leases that name the host, or its address where leases name nobody: one, when all is well."""
    return [lease for lease in leases if (lease.node or lease.public_ip) in (host.name, host.address)]


def wrongs(host: Host, leases: Iterable[Lease], fabric: Fabric = VXLAN) -> list[str]:
    """Return what is missing on the host (-), what is too much (+), and what its lease and subnet.env say wrongly."""
    known = [lease for lease in leases if lease.kind == fabric.type]
    must = {*wanted(host, known, fabric), *_said_wrongly(host, known, fabric)}
    return differences(host, must, standing(host))


def differences(host: Host, must: set[str], does: set[str]) -> list[str]:
    """Return what is missing on the host (-) and what is too much (+), a line each."""
    return [f"{host.name}: -{line}" for line in sorted(must - does)] + [
        f"{host.name}: +{line}" for line in sorted(does - must)
    ]


def wanted(host: Host, leases: Iterable[Lease], fabric: Fabric) -> set[str]:
    """Return every line that must be true of the host."""
    known = [lease for lease in leases if lease.kind == fabric.type]
    own = own_leases(host, known)
    if len(own) != 1:
        return {f"one lease of {host.name} in etcd, not {len(own)}"}
    return {line for version in fabric.versions for line in _wanted(host, own[0], known, (fabric, version))}


def _wanted(host: Host, own: Lease, known: list[Lease], net: tuple[Fabric, int]) -> Iterator[str]:
    fabric, version = net
    peers = [lease for lease in known if lease is not own]
    device = next((each for each in fabric.devices if each.family == f"-{version}"), None)
    if fabric.kind == "host-gw":
        yield from _direct(host, peers, f"-{version}")
    elif device is not None and fabric.kind == "udp":
        yield from _tunnel(host, device, own, fabric)
    elif device is not None and fabric.kind == "ipip":
        yield from _ipip(host, device, own)
        yield from chain.from_iterable(_through_ipip(host, device, peer, fabric) for peer in peers)
    elif device is not None and fabric.kind == "wireguard":
        yield from _wireguard(host, device, own, fabric)
        yield from chain.from_iterable(_through_wireguard(host, device, peer, fabric) for peer in peers)
    elif device is not None:
        yield from _vxlan(host, device, own, fabric)
        for peer in peers:
            yield from _to_peer(host, device, peer, fabric)


def _tunnel(host: Host, device: Device, own: Lease, fabric: Fabric) -> Iterator[str]:
    """The device and its one route; which peers it leads to is in no kernel table that iproute2 could show."""
    assert own.subnet is not None
    _, mtu = _underlay(host, device.family)
    kept = "persistent" if host.daemon.program.marks.alias else "fleeting"
    yield f"link {device.name} tun {kept} mtu {mtu - device.overhead}{_alias(host)} UP"
    yield f"addr {device.name} {own.subnet.network_address}/32"
    yield f"route {fabric.config['Network']} via None dev {device.name}{_proto(host)}"


def _ipip(host: Host, device: Device, own: Lease) -> Iterator[str]:
    assert own.subnet is not None
    address, mtu = _underlay(host, device.family)
    yield f"link {device.name} ipip remote any mtu {mtu - device.overhead} local {address}{_alias(host)} UP"
    yield f"addr {device.name} {own.subnet.network_address}/32"


def _through_ipip(host: Host, device: Device, peer: Lease, fabric: Fabric) -> Iterator[str]:
    if fabric.backend.get("DirectRouting") and _on_link(host, peer.public_ip):
        yield from _direct(host, [peer], device.family)
    else:
        yield f"route {peer.subnet} via {peer.public_ip} dev {device.name}{_proto(host)} onlink"


def _wireguard(host: Host, device: Device, own: Lease, fabric: Fabric) -> Iterator[str]:
    subnet, _, _ = own.of(device.family)
    assert subnet is not None
    _, underlay = _underlay(host, device.family)
    mtu = (fabric.backend.get("MTU") or underlay) - device.overhead
    yield f"link {device.name} wireguard mtu {mtu}{_alias(host)} UP"
    yield f"wg {device.name} key {own.public_key} port {_port(device, fabric)}"
    yield f"addr {device.name} {subnet.network_address}/{subnet.max_prefixlen}"


def _through_wireguard(host: Host, device: Device, peer: Lease, fabric: Fabric) -> Iterator[str]:
    subnet, public, _ = peer.of(device.family)
    if subnet is None:
        return
    allowed: list[object] = [subnet]
    if not fabric.separate:
        allowed = [one for one in (peer.subnet, peer.subnet6) if one is not None]
        public = (
            peer.public_ip6 if fabric.backend.get("Mode") == "ipv6" else peer.public_ip or peer.public_ip6
        )
    where = f"[{public}]" if ":" in public else public
    said = f"endpoint {where}:{_port(device, fabric)} allowed-ips {','.join(map(str, allowed))}"
    yield f"wg {device.name} peer {peer.public_key} {said}"
    yield f"route {subnet} via None dev {device.name}{_proto(host)}"


def _port(device: Device, fabric: Fabric) -> int:
    if device.name == "flannel-wg":
        return int(fabric.backend.get("ListenPort", 51820))
    return int(fabric.backend.get("ListenPortV6", 51821))


def _vxlan(host: Host, device: Device, own: Lease, fabric: Fabric) -> Iterator[str]:
    subnet, public, mac = own.of(device.family)
    if subnet is None:
        yield f"a subnet of {host.name} for {device.name}"
        return
    _, underlay = _underlay(host, device.family)
    mtu = (fabric.backend.get("MTU") or underlay) - device.overhead
    yield (
        f"link {device.name} {mac} mtu {mtu} vni {fabric.vni} local {public} dev {nic_of(host)}"
        f" port {fabric.backend.get('Port', 8472)}{_alias(host)} UP"
    )
    yield f"addr {device.name} {subnet.network_address}/{subnet.max_prefixlen}"


def _to_peer(host: Host, device: Device, peer: Lease, fabric: Fabric) -> Iterator[str]:
    subnet, public, mac = peer.of(device.family)
    if subnet is None:
        return
    if fabric.backend.get("DirectRouting") and _on_link(host, public):
        yield from _direct(host, [peer], device.family)
        return
    vtep = subnet.network_address
    yield f"neigh {device.name} {vtep} lladdr {mac}"
    yield f"fdb {device.name} {mac} dst {public}"
    yield f"route {subnet} via {vtep} dev {device.name}{_proto(host)} onlink"


def _direct(host: Host, peers: Iterable[Lease], family: str) -> Iterator[str]:
    """Plain routes, to those that need no gateway."""
    nic = nic_of(host)
    for peer in peers:
        subnet, public, _ = peer.of(family)
        if subnet is not None and _on_link(host, public):
            yield f"route {subnet} via {public} dev {nic}{_proto(host)}"


def _said_wrongly(host: Host, known: list[Lease], fabric: Fabric) -> Iterator[str]:
    own = own_leases(host, known)
    if len(own) == 1 and own[0].subnet is not None:
        yield from _lease_said_wrongly(host, own[0], fabric)


def _lease_said_wrongly(host: Host, own: Lease, fabric: Fabric) -> Iterator[str]:
    address, mtu = _underlay(host, "-4")
    if own.public_ip != address:
        yield f"lease of {host.name} says {address}, not {own.public_ip}"
    said, wanted_mtu = host.subnet_file, (fabric.backend.get("MTU") or mtu) - fabric.overhead
    if str(said.subnet.network) != str(own.subnet) or said.mtu != wanted_mtu:
        yield f"subnet.env of {host.name} says {own.subnet} and {wanted_mtu}: {said}"


def _alias(host: Host) -> str:
    alias = host.daemon.program.marks.alias
    return f" {alias}" if alias else ""


def _proto(host: Host) -> str:
    proto = host.daemon.program.marks.proto
    return f" proto {proto}" if proto else ""


def nic_of(host: Host) -> str:
    """Return the link that has the host's underlay address; its own NIC while that is another one."""
    rows = host.ip_json("address", "show", "to", host.address)
    return str(next((row["ifname"] for row in rows if row), host.seat.nic))


def _on_link(host: Host, address: str) -> bool:
    return "gateway" not in host.ip_json("route", "get", address)[0]


def _underlay(host: Host, family: str) -> tuple[str, int]:
    """The NIC's own address and MTU now."""
    rows: list[dict[str, Any]] = host.ip_json(
        family, "address", "show", "dev", nic_of(host), "scope", "global"
    )
    (row,) = (each for each in rows if each)
    return str(row["addr_info"][0]["local"]), int(row["mtu"])
