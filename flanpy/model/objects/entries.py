"""Neighbours and FDB entries: what sends the packets on a link of ours to a host."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import IPAddress, Mac
from flanpy.model.key import Key
from flanpy.model.put_order import PutOrder
from flanpy.model.traits import OnLink


@dataclass(frozen=True, slots=True)
class Neighbour(OnLink):
    """A PERMANENT neighbour: overlay address -> MAC, on a link of ours."""

    link: str
    address: IPAddress
    mac: Mac

    phase = PutOrder.NEIGHBOUR
    is_of_peer = True

    @property
    def key(self) -> Key:
        return ("neighbour", self.link, int(self.address), self.address.version)


@dataclass(frozen=True, slots=True)
class FdbEntry(OnLink):
    """A permanent FDB entry of a VXLAN device (NTF_SELF): MAC -> underlay address of the peer."""

    link: str
    mac: Mac
    destination: IPAddress

    phase = PutOrder.FDB
    is_of_peer = True

    @property
    def key(self) -> Key:
        return ("fdb", self.link, int.from_bytes(self.mac.packed, "big"))


@dataclass(frozen=True, slots=True)
class FloodEntry(OnLink):
    """A host to which a VXLAN device sends what it has learned no place for: one destination of the all-zero MAC."""

    link: str
    destination: IPAddress

    phase = PutOrder.FDB

    @property
    def key(self) -> Key:
        return ("flood", self.link, int(self.destination), self.destination.version)
