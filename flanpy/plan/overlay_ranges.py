"""The addresses of one family that an overlay has, and the rules that tell its packets from all others. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import Family, IPNetwork
from flanpy.model.packet_filter import Rule, Verdict


@dataclass(frozen=True, slots=True)
class Ranges:
    """One family of the overlay on this host; `links` are those its packets come and go by, () if that is unknown."""

    family: Family
    network: IPNetwork
    subnet: IPNetwork
    links: tuple[str, ...]

    def inbound(self, verdict: Verdict) -> tuple[Rule, ...]:
        """Packets of the overlay to this host's containers."""
        return tuple(
            Rule(verdict, source=self.network, destination=self.subnet, in_link=link)
            for link in self.links or ("",)
        )

    def outbound(self, verdict: Verdict) -> tuple[Rule, ...]:
        """Packets of this host's containers to the rest of the overlay."""
        return tuple(
            Rule(verdict, source=self.subnet, destination=self.network, out_link=link)
            for link in self.links or ("",)
        )

    def at_home(self, verdict: Verdict) -> Rule:
        """Between containers of this host."""
        return Rule(verdict, source=self.subnet, destination=self.subnet)
