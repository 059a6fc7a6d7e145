"""The monitor's facts about this host: the chosen underlay and the routes that are not ours."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.offload import LinkDriver
from flanpy.model.rules import HostRule


@dataclass(frozen=True, slots=True)
class Underlay:
    """The link that carries encapsulated packets, its addresses, and why it was chosen.

    `address`/`address6` are addresses of this host (the VXLAN `local`), on this link or another; what is advertised to
    peers is the setting `public-ip` if given, else the same. `reason` is one line for people. `drivers` are those of
    the link and of the ones beneath it (a bond's, a bridge's, a VLAN's), which frames leave the host by.
    `carrier`: the other end of its cable is there.
    """

    link: str
    index: int
    mtu: int
    address: IPv4Address | None
    address6: IPv6Address | None
    reason: str
    drivers: tuple[LinkDriver, ...] = ()
    carrier: bool = True

    def local(self, family: Family) -> IPAddress | None:
        """Return this host's address of one family."""
        return self.address if family is Family.IPV4 else self.address6


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route of the host that is not ours; `gateway` None means that `destination` is on the link itself."""

    destination: IPNetwork
    link: str
    gateway: IPAddress | None
    metric: int = 0


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A frozen picture of the host. `problem` says why there is no underlay, for people; `kernel` is 6.1's (6, 1).

    `link_down` is the link that would be the underlay if it were up, "" where that is not the reason.
    `placed` are the addresses with their links. `not_forwarding` are links whose own IPv4 switch is off while the
    host's is on: what comes in by them ends there. `bridges` are those of named networks, by name.
    """

    underlay: Underlay | None = None
    problem: str = ""
    link_down: str = ""
    routes: tuple[HostRoute, ...] = ()
    rules: tuple[HostRule, ...] = ()
    addresses: frozenset[IPAddress] = frozenset()
    placed: frozenset[tuple[IPAddress, str]] = frozenset()
    ip_forward: bool = True
    ip6_forward: bool = True
    not_forwarding: frozenset[str] = frozenset()
    kernel: tuple[int, int] | None = None
    bridges: frozenset[str] = frozenset()
