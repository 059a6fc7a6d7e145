"""Owns the matrix of what others may do to the kernel objects that are ours: by backend, kind of object and fault.

A row is a line of shell with `ip`, `bridge` and `sysctl`. Each leaves the host wrong, and no row undoes another. It
must not know flanpy's modules: what is ours is written down as an operator sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Self

from integration.hosts.host import Host


@dataclass(frozen=True, slots=True)
class KernelFault:
    """What somebody does; `template` is filled from a Target."""

    backend: str
    kind: str
    fault: str
    template: str

    @property
    def name(self) -> str:
        return f"{self.kind} {self.fault}"

    def lines(self, target: Target) -> str:
        """The shell lines for this host."""
        return self.template.format(
            subnet=target.subnet, vtep=target.vtep, mac=target.mac, peer=target.peer, nic=target.nic
        )


@dataclass(frozen=True, slots=True)
class Target:
    """One host's view of one peer: its subnet, VTEP address and MAC, its underlay address, and our own NIC."""

    subnet: str
    vtep: str
    mac: str
    peer: str
    nic: str = "eth0"

    @classmethod
    def of(cls, host: Host, peer: Host) -> Self:
        """As it stands now; the MAC is the peer's own, empty where its backend has none."""
        subnet = ip_network(str(peer.subnet_file.subnet), strict=False)
        devices = [link for link in peer.ip_json("link", "show") if link["ifname"] == "flannel.1"]
        mac = devices[0]["address"] if devices else ""
        return cls(str(subnet), str(subnet.network_address), mac, peer.address, host.seat.nic)


def _rows(backend: str, device: str, rows: dict[tuple[str, str], str]) -> tuple[KernelFault, ...]:
    return tuple(
        KernelFault(backend, kind, fault, template.replace("DEV", device))
        for (kind, fault), template in rows.items()
    )


_ON_ANY_DEVICE = {
    ("link", "deleted"): "ip link del DEV",
    ("link", "taken down"): "ip link set DEV down",
    ("link", "taken down and up"): "ip link set DEV down; ip link set DEV up",
    ("link", "renamed"): "ip link set DEV down; ip link set DEV name lost0",
    ("link", "with another MTU"): "ip link set DEV mtu 1300",
    ("link", "without its alias"): "ip link set DEV alias ''",
    ("address", "deleted"): "ip address flush dev DEV scope global",
    ("address", "doubled"): "ip address add 10.50.254.77/32 dev DEV",
    ("all", "deleted thrice in a row"): "for i in 1 2 3; do ip link del DEV 2>/dev/null; sleep 0.03; done",
}
_VXLAN = {
    ("link", "with another MAC"): "ip link set DEV address 02:66:00:00:00:01",
    ("link", "learning"): "ip link set DEV type vxlan id 1 learning",
    ("link", "with another local address"): "ip link set DEV type vxlan id 1 local 127.0.0.1",
    ("neighbour", "deleted"): "ip neighbour del {vtep} dev DEV",
    ("neighbour", "changed"): "ip neighbour replace {vtep} lladdr 02:66:00:00:00:02 dev DEV nud permanent",
    ("neighbour", "made to age"): "ip neighbour replace {vtep} lladdr {mac} dev DEV nud reachable",
    ("neighbour", "flushed"): "ip neighbour flush dev DEV nud permanent",
    ("neighbour", "doubled"): "ip neighbour add 10.50.254.78 lladdr {mac} dev DEV nud permanent",
    ("FDB entry", "deleted"): "bridge fdb del {mac} dev DEV",
    ("FDB entry", "changed"): "bridge fdb replace {mac} dev DEV dst 192.0.2.66 self permanent",
    (
        "FDB entry",
        "of everybody",
    ): "bridge fdb append 00:00:00:00:00:00 dev DEV dst 192.0.2.68 self permanent",
    ("route", "deleted"): "ip route del {subnet}",
    ("route", "changed"): "ip route replace {subnet} dev DEV proto 70",
    ("route", "doubled"): "ip route add {subnet} dev DEV proto 70 metric 77",
    ("route", "to nobody"): "ip route add 10.50.253.0/24 dev DEV proto 70",
    ("route", "flushed"): "ip route flush proto 70",
    ("all", "changed at once"): "ip link set DEV address 02:66:00:00:00:03; ip route flush proto 70;"
    " ip neighbour flush dev DEV nud permanent; bridge fdb del {mac} dev DEV; ip link set DEV mtu 1280",
}
_UDP = {
    ("route", "deleted"): "ip route flush proto 70",
    ("route", "doubled"): "ip route add {subnet} dev DEV proto 70 metric 77",
}
_HOST_GW = {
    ("route", "deleted"): "ip route del {subnet}",
    ("route", "changed"): "ip route replace {subnet} dev {nic} proto 70",
    ("route", "with another metric beside"): "ip route add {subnet} via {peer} dev {nic} proto 70 metric 77",
    ("route", "to nobody"): "ip route add 10.50.253.0/24 via {peer} dev {nic} proto 70",
    ("route", "flushed"): "ip route flush proto 70",
    ("route", "gone with the underlay"): "ip link set {nic} down; ip link set {nic} up",
}

MATRIX = {
    "vxlan": _rows("vxlan", "flannel.1", {**_ON_ANY_DEVICE, **_VXLAN}),
    "udp": _rows("udp", "flannel0", {**_ON_ANY_DEVICE, **_UDP}),
    "host-gw": _rows("host-gw", "", _HOST_GW),
}
