"""Which packet filter rules an overlay needs, for either family and every flavour by the same code. Pure.

- `forward`: what came or goes through the overlay is accepted before Docker's rules and a DROP policy see it. Only the
  overlay's own links are named, so that traffic between containers of this host (`--icc=false`, isolated networks) and
  from anybody outside is judged by others as before.
- `postrouting`: nothing inside the network is masqueraded, whatever Docker masquerades; with ip-masq what leaves it is,
  as flannel does. Traffic within our own subnet is left to Docker, which masquerades hairpins.
- `raw`: Docker >= 28 drops what reaches a container by another link than its bridge; the overlay's packets pass.
- `guard`: the bridge of network mode is open towards everybody (`nat-unprotected`) on such engines; new connections
  from elsewhere than the bridge and the overlay, to no published port, are dropped. In iptables that stands in mangle,
  which `iptables -F` spares.
- `mark`: Docker's nftables rules accept by mark only (`bridge-accept-fwmark`).

An accept in a table of our own does not overrule a drop elsewhere, so plain nftables has neither `forward` nor `raw`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from flanpy.model.address import Family, IPNetwork
from flanpy.model.bridge import BRIDGE
from flanpy.model.network.network import NetworkConfig
from flanpy.model.packet_filter import (
    NFT_TABLE,
    DockerRules,
    FilterChain,
    FilterChoice,
    FilterFacts,
    FilterJump,
    FilterObject,
    FilterPolicy,
    Flavour,
    Rule,
    Verdict,
)

FORWARD = "FLANPY-FORWARD"
GUARD = "FLANPY-GUARD"
POSTROUTING = "FLANPY-POSTROUTING"
RAW = "FLANPY-RAW"

_MULTICAST: dict[Family, IPNetwork] = {
    Family.IPV4: IPv4Network("224.0.0.0/4"),
    Family.IPV6: IPv6Network("ff00::/8"),
}

_ACCEPT, _RETURN = Verdict.ACCEPT, Verdict.RETURN


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


def choose(policy: FilterPolicy, network: NetworkConfig, facts: FilterFacts) -> Flavour | None:
    """The flavour for our rules: the operator's, else Docker's, else nftables where the network asks for it, else the
    system's. None if there is no tool for it, or rules are off."""
    match policy.choice:
        case FilterChoice.AUTO:
            wanted = _automatic(network, facts)
        case FilterChoice.OFF:
            wanted = None
        case named:
            wanted = Flavour(named.value)
    return wanted if wanted in facts.tools else None


def _automatic(network: NetworkConfig, facts: FilterFacts) -> Flavour | None:
    docker = facts.docker_flavours & facts.tools
    if len(docker) > 1 and facts.default in docker:
        return facts.default
    for flavour in (Flavour.IPTABLES_NFT, Flavour.IPTABLES_LEGACY, Flavour.NFT):
        if flavour in docker:
            return flavour
    if network.enable_nftables and Flavour.NFT in facts.tools:
        return Flavour.NFT
    if facts.default is not None:
        return facts.default
    return Flavour.NFT if Flavour.NFT in facts.tools else None


def packet_filter(
    policy: FilterPolicy, flavour: Flavour, facts: FilterFacts, ranges: Sequence[Ranges]
) -> Iterator[FilterObject]:
    """Chains and jumps that should stand."""
    for one in ranges:
        if flavour is Flavour.NFT:
            yield from _nftables(policy, facts, one)
        else:
            yield from _iptables(policy, flavour, facts.docker_in(flavour, one.family) or DockerRules(), one)


def _iptables(
    policy: FilterPolicy, flavour: Flavour, docker: DockerRules, ranges: Ranges
) -> Iterator[FilterObject]:
    def hung(table: str, into: str, name: str, rules: tuple[Rule, ...]) -> Iterator[FilterObject]:
        yield FilterChain(flavour, ranges.family, table, name, rules)
        yield FilterJump(flavour, ranges.family, table, into, name)

    if policy.forward:
        into = "DOCKER-USER" if docker.user_chain else "FORWARD"
        yield from hung("filter", into, FORWARD, _forward(ranges))
        if docker.direct_drops:
            yield from hung("raw", "PREROUTING", RAW, ranges.inbound(_ACCEPT))
    yield from hung("nat", "POSTROUTING", POSTROUTING, _postrouting(policy, ranges, _ACCEPT))
    yield from hung("mangle", "FORWARD", GUARD, _guard(ranges))


def _nftables(policy: FilterPolicy, facts: FilterFacts, ranges: Ranges) -> Iterator[FilterObject]:
    def chain(name: str, hook: str, rules: tuple[Rule, ...]) -> FilterChain:
        return FilterChain(Flavour.NFT, ranges.family, NFT_TABLE, name, rules, hook)

    if policy.forward and facts.docker_in(Flavour.NFT, ranges.family) is not None:
        yield chain("overlay", "filter hook forward priority -10", ranges.inbound(Verdict.MARK))
    # Before everybody's: the first chain that settles the source of a connection settles it for all.
    yield chain(
        "postrouting",
        "nat hook postrouting priority 99",
        _postrouting(policy, ranges, Verdict.KEEP_SOURCE),
    )
    yield chain("guard", "filter hook forward priority -1", _guard(ranges))


def _forward(ranges: Ranges) -> tuple[Rule, ...]:
    return (ranges.at_home(_RETURN), *ranges.inbound(_ACCEPT), *ranges.outbound(_ACCEPT))


def _postrouting(policy: FilterPolicy, ranges: Ranges, keep: Verdict) -> tuple[Rule, ...]:
    network, subnet = ranges.network, ranges.subnet
    inside = (ranges.at_home(_RETURN), Rule(keep, source=network, destination=network))
    if not policy.masquerade:
        return inside
    masquerade = Verdict.MASQUERADE_RANDOM if policy.random_ports else Verdict.MASQUERADE
    return (
        *inside,
        Rule(masquerade, source=network, destination=_MULTICAST[ranges.family], not_destination=True),
        Rule(_RETURN, source=network, not_source=True, destination=subnet),
        Rule(masquerade, source=network, not_source=True, destination=network),
    )


def _guard(ranges: Ranges) -> tuple[Rule, ...]:
    return (
        Rule(_RETURN, out_link=BRIDGE, not_out_link=True),
        Rule(_RETURN, in_link=BRIDGE),
        *ranges.inbound(_RETURN),
        Rule(Verdict.DROP, fresh=True),
    )
