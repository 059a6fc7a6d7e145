"""The overlay's demands on Docker on this host, in one frozen value.

Made from the values of subnet.env, by commands and by the daemon alike, so that both judge by the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from flanpy.errors import DockerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """This host's subnet, the network it is part of, and the MTU of containers in bytes.

    `masquerade` is whether *Docker* is to masquerade what leaves its network: no if flanpyd does (flannel's rule).
    """

    network: IPv4Network
    subnet: IPv4Network
    mtu: int
    masquerade: bool
    subnet6: IPv6Network | None = None

    @property
    def bridge_address(self) -> IPv4Interface:
        """Return the bridge's address: the subnet's first host."""
        return IPv4Interface((self.subnet.network_address + 1, self.subnet.prefixlen))

    @property
    def bridge_address6(self) -> IPv6Interface | None:
        if self.subnet6 is None:
            return None
        return IPv6Interface((self.subnet6.network_address + 1, self.subnet6.prefixlen))


def wanted(  # one argument for each line of subnet.env
    network: IPv4Network | None,
    subnet: IPv4Network | None,
    mtu: int,
    *,
    ipmasq: bool,
    subnet6: IPv6Network | None = None,
) -> Wanted:
    """Make it from the values of subnet.env. Raises DockerError for values that Docker cannot take."""
    if network is None or subnet is None:
        raise DockerError(
            "subnet.env has no IPv4 subnet, and Docker's bridge needs one: use a network with IPv4"
        )
    if mtu < 68:  # RFC 791: the least that IPv4 can live on
        raise DockerError(f"FLANNEL_MTU={mtu} of subnet.env is no MTU for containers: restart flanpyd")
    return Wanted(network=network, subnet=subnet, mtu=mtu, masquerade=not ipmasq, subnet6=subnet6)
