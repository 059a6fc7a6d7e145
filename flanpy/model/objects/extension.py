"""Completed runs of the extension backend's commands."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.key import Key
from flanpy.model.lease import SubnetKey
from flanpy.model.put_order import PutOrder
from flanpy.model.traits import Traits


@dataclass(frozen=True, slots=True)
class ExtensionStart(Traits):
    """A completed run of the extension backend's PostStartupCommand with this host's present values."""

    command: tuple[str, ...]
    subnets: SubnetKey
    networks: tuple[IPNetwork, ...]
    public_ips: tuple[IPAddress, ...]

    phase = PutOrder.LINK_UP
    only_ours = True

    @property
    def key(self) -> Key:
        return ("extension", "start")


@dataclass(frozen=True, slots=True)
class ExtensionPeer(Traits):
    """A completed run of the extension backend's SubnetAddCommand for a peer; `remove` is the command that undoes it.

    `told` is the output of the peer's PreStartupCommand. An empty command means no command.
    """

    subnets: SubnetKey
    public_ips: tuple[IPAddress, ...]
    told: str
    add: tuple[str, ...]
    remove: tuple[str, ...]

    phase = PutOrder.ROUTE
    only_ours = True
    is_of_peer = True

    @property
    def key(self) -> Key:
        return ("extensionpeer", str(self.subnets))

    @property
    def destinations(self) -> tuple[IPNetwork, ...]:
        return self.subnets.subnets
