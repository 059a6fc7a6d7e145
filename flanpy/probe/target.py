"""The probe targets: each family of each peer, at the addresses that any flannel-like host answers by. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from flanpy.backend import choice
from flanpy.backend.udp import DEFAULT_PORT as UDP_PORT
from flanpy.backend.vxlan import DEFAULT_PORT as VXLAN_PORT
from flanpy.backend.wireguard import read_options as wireguard_options
from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.lease import Lease, SubnetKey
from flanpy.model.naming import HostNames
from flanpy.model.network.fields import PACKETLESS
from flanpy.model.network.network import NetworkConfig
from flanpy.model.world import World

TUNNELS = frozenset({"vxlan", "", "udp", "ipip", "wireguard"})
"""Backends whose hosts have the first address of their subnet on the tunnel's device; "" is udp in a lease."""


@dataclass(frozen=True, slots=True)
class Target:
    """One family of one peer. `wanted` is the size in bytes of packets that should pass, `port` what carries them.

    `certain`: the overlay address is on the peer whatever it runs. It is not where the subnet's first host address is
    the bridge's: a peer may have no bridge yet. `host` is the peer's name, and `token` what its host proves itself by
    when it asks us: "" of a flanpy that has none yet, None of a host that never asks, flannel's. Neither makes it
    another target.
    """

    key: SubnetKey
    node_id: str
    family: Family
    overlay: IPAddress
    underlay: IPAddress
    wanted: int
    port: str = ""
    certain: bool = True
    host: str = field(default="", compare=False)
    token: str | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Return the peer's name for people; flannel's hosts go by their subnet."""
        return self.host or self.node_id or str(self.key)


def targets(world: World, peers: Iterable[Lease]) -> tuple[Target, ...]:
    """Every peer with an address of a family that the network has; none while the network is not known."""
    network = world.network
    if network is None or network.backend_type in PACKETLESS:
        return ()
    wanted = choice.mtu(world)
    names = HostNames.among(world.view.leases.values())
    found = []
    families = [f for f in network.families if f is Family.IPV4 or choice.narrow(world) is None]
    for lease in peers:
        for family in families:
            subnet, public = lease.key.of(family), lease.record.public(family)
            if subnet is not None and public is not None:
                tunnel = lease.record.backend_type in TUNNELS
                overlay = overlay_address(subnet, tunnel=tunnel)
                found.append(
                    Target(
                        lease.key,
                        lease.record.node_id,
                        family,
                        overlay,
                        public,
                        wanted,
                        carrier(network, family) if tunnel else "",
                        tunnel,
                        names.of(lease),
                        lease.record.mesh_token if lease.record.node_id else None,
                    )
                )
    return tuple(found)


def tokens_at(address: IPAddress, peers: Iterable[Target]) -> frozenset[str]:
    """Return the tokens of the hosts that ask from that address, empty if none does; several may be behind one."""
    return frozenset(
        one.token for one in peers if one.token is not None and address in (one.overlay, one.underlay)
    )


def overlay_address(subnet: IPNetwork, *, tunnel: bool) -> IPAddress:
    """Return the address at which a host answers over the overlay."""
    return subnet.network_address if tunnel else subnet.network_address + 1


def carrier(network: NetworkConfig, family: Family) -> str:
    """Return the traffic that the underlay must let through for the overlay's family, for an operator; "" where packets
    are not wrapped."""
    if network.backend_type == "wireguard":
        return f"UDP port {wireguard_options(network.backend_options).port(family)}"
    if network.backend_type == "ipip":
        return "IP protocol 4"
    default = {"vxlan": VXLAN_PORT, "udp": UDP_PORT}.get(network.backend_type)
    if default is None:
        return ""
    return f"UDP port {network.backend_options.get('port') or default}"
