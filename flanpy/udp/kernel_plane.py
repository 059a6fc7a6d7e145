"""The in-kernel plane as the supervisor needs it: loaded only when it is first used."""

from __future__ import annotations

from flanpy.model.objects import TunnelEnd
from flanpy.model.tunnel import TunnelTable
from flanpy.udp.ports import Counts


class KernelPlane:
    """Implements `udp.ports.FastPath`."""

    def unavailable(self) -> str:
        """Why it cannot run here, "" if it can."""
        return "this version has none"

    def attach(self, end: TunnelEnd, table: TunnelTable) -> None:
        raise NotImplementedError

    def set_table(self, table: TunnelTable) -> None:
        raise NotImplementedError

    def standing(self, end: TunnelEnd) -> bool:
        return False

    def remains(self) -> str:
        return ""

    def counters(self) -> Counts:
        return {}

    def detach(self) -> None:
        pass
