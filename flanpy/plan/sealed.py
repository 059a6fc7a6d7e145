"""The packet filter of a host that requires encryption: packets between hosts in clear go nowhere. Pure.

The rules stand in the kernel whether flanpyd runs or not, and depend on no device: without WireGuard's the overlay's
packets would leave by the default route as they are. Dropped in both directions, on every link but `lo` and the
overlay's encrypted ones: VXLAN and the UDP tunnel, by their ports, and IPIP. On the underlay's link besides: what has
its source and its destination in the overlay. A network may hold the underlay's own addresses: those of this host are
spared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network

from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.packet_filter import (
    NFT_TABLE,
    FilterChain,
    FilterJump,
    FilterObject,
    Flavour,
    Rule,
    Verdict,
)

LEAVING = "sealedout"
COMING = "sealedin"
_IPTABLES = {LEAVING: ("POSTROUTING", "FLANPY-SEALED-OUT"), COMING: ("PREROUTING", "FLANPY-SEALED-IN")}
_HOOKS = {
    LEAVING: "filter hook postrouting priority -1",
    COMING: "filter hook prerouting priority -300",  # before connections are tracked
}

USUAL_PORTS = (8472, 8285)
"""The ports of VXLAN and of the UDP tunnel, which peers may send to whatever this host's network says."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One family: the overlay's range, ports in clear, encrypted links, and the underlay's link and address."""

    family: Family
    network: IPNetwork
    ports: tuple[int, ...]
    encrypted: tuple[str, ...]
    underlay: str
    own: IPAddress | None

    def leaving(self) -> tuple[Rule, ...]:
        """Return the rules for packets that leave this host, its own and its containers'."""
        spared = (Rule(Verdict.RETURN, source=ip_network(self.own)),) if self._holds_own and self.own else ()
        return self._rules(spared, leaving=True)

    def coming(self) -> tuple[Rule, ...]:
        """Return the rules for packets that come to this host."""
        spared = (
            (Rule(Verdict.RETURN, destination=ip_network(self.own)),) if self._holds_own and self.own else ()
        )
        return self._rules(spared, leaving=False)

    @property
    def _holds_own(self) -> bool:
        return self.own is not None and self.own in self.network

    def _rules(self, spared: tuple[Rule, ...], *, leaving: bool) -> tuple[Rule, ...]:
        def on(rule: Rule, link: str) -> Rule:
            return replace(rule, out_link=link) if leaving else replace(rule, in_link=link)

        drop = Rule(Verdict.DROP)
        passing = [on(Rule(Verdict.RETURN), link) for link in ("lo", *self.encrypted)]
        wrapped = [replace(drop, ports=self.ports)]
        if self.family is Family.IPV4:
            wrapped.append(replace(drop, ipip=True))
        inner = on(replace(drop, source=self.network, destination=self.network), self.underlay)
        return (*passing, *wrapped, *spared, inner)


def sealed(one: Sealed, flavour: Flavour, *, sets: bool) -> Iterator[FilterObject]:
    """Return the chains: in nftables wherever it is, as a drop there is not overruled elsewhere."""
    for name, rules in ((LEAVING, one.leaving()), (COMING, one.coming())):
        if sets:
            yield FilterChain(Flavour.NFT, one.family, NFT_TABLE, name, rules, _HOOKS[name])
            continue
        into, chain = _IPTABLES[name]
        yield FilterChain(flavour, one.family, "mangle", chain, rules)
        yield FilterJump(flavour, one.family, "mangle", into, chain)
