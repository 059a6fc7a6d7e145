"""The UDP tunnel: this host's end of it, and its peers."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from flanpy.model.address import IPNetwork
from flanpy.model.key import Key
from flanpy.model.put_order import PutOrder
from flanpy.model.traits import Traits


class _TunnelTraits(Traits):
    """A tunnel needs its link and does not die with it: its processes and filters have to be ended in any case."""

    __slots__ = ()
    link: str
    phase = PutOrder.TUNNEL
    only_ours = True

    @property
    def needed(self) -> str | None:
        return self.link


@dataclass(frozen=True, slots=True)
class TunnelEnd(_TunnelTraits):
    """This host's end of the UDP tunnel, which carries packets between the TUN device `link` and the underlay.

    Datagrams leave from `local`:`port` on the link called `underlay` and arrive there; `own` is this host's subnet,
    `mtu` the largest inner packet in bytes. `fast`: with the in-kernel plane before the one in user space.
    `quiet`: that plane accepts the packets of fast peers, and sends them none yet.
    """

    link: str
    underlay: str
    local: IPv4Address
    port: int
    mtu: int
    own: IPv4Network
    fast: bool = False
    quiet: bool = False

    @property
    def key(self) -> Key:
        return ("tunnel", self.link)


@dataclass(frozen=True, slots=True)
class TunnelPeer(_TunnelTraits):
    """A peer in the table of the UDP tunnel: `subnet` is reached through `peer`, and only `peer` may send from it.

    `fast`: both hosts have the in-kernel plane.
    """

    link: str
    subnet: IPv4Network
    peer: IPv4Address
    fast: bool = False

    is_of_peer = True

    @property
    def key(self) -> Key:
        return ("tunnelpeer", self.link, int(self.subnet.network_address), self.subnet.prefixlen)

    @property
    def destinations(self) -> tuple[IPNetwork, ...]:
        return (self.subnet,)
