"""Host-wide settings."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.key import Key
from flanpy.model.put_order import PutOrder
from flanpy.model.traits import Traits


@dataclass(frozen=True, slots=True)
class HostSysctl(Traits):
    """A host-wide sysctl by its dotted name, such as `net.ipv4.ip_forward`."""

    name: str
    value: str

    phase = PutOrder.HOST_SETTING
    deletable = False
    only_ours = True

    @property
    def key(self) -> Key:
        return ("sysctl", self.name)
