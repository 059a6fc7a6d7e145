"""The packet filter rules of an overlay, for either family and every flavour by the same code. Pure.

- `forward`: traffic through the overlay is accepted before Docker's rules and a DROP policy see it. Only the
  overlay's own links are named, so that traffic between containers of this host (`--icc=false`, isolated networks) and
  from outside is judged by others' rules as before.
- `postrouting`: nothing inside the network is masqueraded, whatever Docker masquerades; with ip-masq, traffic that
  leaves it is, as flannel does. Traffic within our own subnet is left to Docker, which masquerades hairpins.
- `raw`: Docker >= 28 drops packets that reach a container by another link than its bridge; the overlay's pass.
- `guard`: the bridge of network mode, where it is, is open to all sources (`nat-unprotected`) on such engines; new
  connections from elsewhere than the bridge and the overlay, to no published port, are dropped. It shares one chain
  with the rules of `encapsulated` about forwarded packets: in our table of nftables, or in iptables' mangle, which
  `iptables -F` spares.
- `linked`: two named networks that are linked may talk, before Docker's rules that isolate its networks.
- `within`: packets within a bridge of a named network pass, where br_netfilter shows them to iptables and Docker is 28
  or newer: that one takes its rules away for most of a second whenever it starts, under a policy that drops.
- `apart`: nothing passes between named networks and the flat overlay, by the same chain.
- `networks`: nothing passes from one named network into another by IPv6, which Docker up to 26 filters only where its
  settings say so (`ip6tables`).
- `sealed`: with encryption=required nothing of the overlay passes in clear.
- `mark`: Docker's nftables rules accept by mark only (`bridge-accept-fwmark`).

An accept in a table of our own does not overrule a drop elsewhere, so plain nftables has neither `forward` nor `raw`.
Each packet pays for rules, and a rule that looks at connections has the kernel track those of the whole host: such
rules stand only where there is traffic to guard or to masquerade, and the overlay's packets leave a chain first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from flanpy.model.address import Family, IPNetwork
from flanpy.model.bridge import BRIDGE, NAMED_BRIDGES, NAMED_BRIDGES_IPTABLES
from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.view import Joined
from flanpy.model.packet_filter import (
    NFT_TABLE,
    DockerRules,
    EncapsulationGuard,
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
from flanpy.plan.encapsulated import (
    Encapsulation,
    forwarded,
    forwarded_by_name,
    with_sets,
    without_sets,
)
from flanpy.plan.linked_networks import LinkedBridges, accepted, masqueraded, reaching, subnet_of
from flanpy.plan.linked_networks import linked as linked_networks
from flanpy.plan.overlay_ranges import Ranges
from flanpy.plan.sealed import Sealed, sealed

FORWARD = "FLANPY-FORWARD"
GUARD = "FLANPY-GUARD"
POSTROUTING = "FLANPY-POSTROUTING"
NETWORKS = "FLANPY-NETWORKS"
RAW = "FLANPY-RAW"

_MARKING, _SOURCES = "filter hook forward priority -10", "nat hook postrouting priority 99"

_LINK_LOCAL = IPv6Network("fe80::/10")

_MULTICAST: dict[Family, IPNetwork] = {
    Family.IPV4: IPv4Network("224.0.0.0/4"),
    Family.IPV6: IPv6Network("ff00::/8"),
}

_ACCEPT, _RETURN = Verdict.ACCEPT, Verdict.RETURN


def choose(policy: FilterPolicy, network: NetworkConfig, facts: FilterFacts) -> Flavour | None:
    """Return the flavour for our rules: the operator's, else Docker's, else nftables if the network wants it, else the
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


@dataclass(frozen=True, slots=True)
class RuleInputs:
    """The inputs of the rules, beside the ranges. `sets`: nftables can be used, for any `flavour`.

    `guarded`: the bridge of network mode is here. `named`: named networks are, or were. `networks` are the named ones
    of this host. `wrapped`: the encapsulated packets, by family. `closed`: what is kept from passing in clear.
    """

    policy: FilterPolicy
    flavour: Flavour
    facts: FilterFacts
    sets: bool
    guarded: bool
    named: bool
    networks: tuple[Joined, ...]
    wrapped: Mapping[Family, Encapsulation]
    closed: tuple[Sealed, ...] = ()

    def masqueraded(self, family: Family) -> bool:
        """Report whether packets may be masqueraded: by us, or by others' rules that might do so."""
        return self.policy.masquerade or bool(self.facts.docker) or family in self.facts.foreign

    def bridges(self, family: Family) -> tuple[tuple[str, IPNetwork], ...]:
        """Return the bridges of named networks that have the family, and their ranges."""
        found = ((one.bridge, subnet_of(one, family)) for one in self.networks)
        return tuple((bridge, subnet) for bridge, subnet in found if subnet is not None)

    def linked(self, family: Family) -> tuple[LinkedBridges, ...]:
        """Return the named networks that may talk."""
        return linked_networks(self.networks, family)

    @property
    def lets_out(self) -> bool:
        """Report whether nobody but us accepts what is masqueraded: Docker has no rules (`iptables: false`)."""
        return self.policy.masquerade and not self.facts.docker


def packet_filter(asked: RuleInputs, ranges: Iterable[Ranges]) -> Iterator[FilterObject]:
    """Return the chains and jumps that should stand."""
    families = set()
    for closed in asked.closed:
        yield from sealed(closed, asked.flavour, sets=asked.sets)
    for one in ranges:
        families.add(one.family)
        if asked.flavour is Flavour.NFT:
            yield from _nftables(asked, one)
        else:
            yield from _iptables(asked, one)
        yield from _nft_forward(asked, one) if asked.sets else _mangle(asked, one)
    if asked.bridges(Family.IPV6):
        yield from _networks(asked)
        if Family.IPV6 not in families:
            yield from _named_alone(asked, Family.IPV6)


def _networks(asked: RuleInputs) -> Iterator[FilterObject]:
    """Return the chain that keeps named networks from each other by IPv6. Within a bridge packets may pass it, too."""
    family = Family.IPV6
    bridges = NAMED_BRIDGES if asked.sets else NAMED_BRIDGES_IPTABLES
    rules = (
        Rule(_RETURN, source=_LINK_LOCAL),
        *accepted(asked.linked(family), _RETURN),
        *(
            Rule(
                Verdict.DROP,
                in_link=bridges,
                out_link=bridge,
                source=subnet,
                not_source=True,
                destination=subnet,
            )
            for bridge, subnet in asked.bridges(family)
        ),
    )
    if asked.sets:
        hook = "filter hook forward priority -1"
        yield FilterChain(Flavour.NFT, family, NFT_TABLE, "networks", rules, hook)
        return
    yield FilterChain(asked.flavour, family, "mangle", NETWORKS, rules)
    yield FilterJump(asked.flavour, family, "mangle", "FORWARD", NETWORKS)


def _iptables(asked: RuleInputs, ranges: Ranges) -> Iterator[FilterObject]:
    family = ranges.family
    docker = asked.facts.docker_in(asked.flavour, family) or DockerRules()
    if asked.policy.forward:
        into = "DOCKER-USER" if docker.user_chain else "FORWARD"
        egress = _egress(ranges) if asked.lets_out else ()
        rules = (*_named(asked, family, docker), *_forward(ranges), *egress)
        yield from _hung(asked, family, ("filter", into, FORWARD), rules)
        if docker.direct_drops:
            rules = (*reaching(asked.linked(family)), *ranges.inbound(_ACCEPT))
            yield from _hung(asked, family, ("raw", "PREROUTING", RAW), rules)
    sources = (*_linked_sources(asked, family), *_postrouting(asked.policy, ranges, _ACCEPT))
    yield from _hung(asked, family, ("nat", "POSTROUTING", POSTROUTING), sources)


def _named(asked: RuleInputs, family: Family, docker: DockerRules) -> tuple[Rule, ...]:
    """Return the rules that let named networks talk, each within itself where Docker's rules come and go."""
    bridges = asked.bridges(family) if docker.direct_drops else ()
    within = (Rule(_ACCEPT, in_link=bridge, out_link=bridge) for bridge, _ in bridges)
    return (*accepted(asked.linked(family), _ACCEPT), *within)


def _linked_sources(asked: RuleInputs, family: Family) -> tuple[Rule, ...]:
    return masqueraded(asked.linked(family)) if family is Family.IPV6 else ()


def _named_alone(asked: RuleInputs, family: Family) -> Iterator[FilterObject]:
    """Return what named networks need in a family that the flat overlay does not have."""
    sources = _linked_sources(asked, family)
    if asked.flavour is Flavour.NFT:
        marks = accepted(asked.linked(family), Verdict.MARK)
        if marks and asked.policy.forward and asked.facts.docker_in(Flavour.NFT, family) is not None:
            yield _base(family, "overlay", _MARKING, marks)
        if sources:
            yield _base(family, "postrouting", _SOURCES, sources)
        return
    docker = asked.facts.docker_in(asked.flavour, family) or DockerRules()
    if asked.policy.forward and (rules := _named(asked, family, docker)):
        into = "DOCKER-USER" if docker.user_chain else "FORWARD"
        yield from _hung(asked, family, ("filter", into, FORWARD), rules)
    if asked.policy.forward and docker.direct_drops and (rules := reaching(asked.linked(family))):
        yield from _hung(asked, family, ("raw", "PREROUTING", RAW), rules)
    if sources:
        yield from _hung(asked, family, ("nat", "POSTROUTING", POSTROUTING), sources)


def _hung(
    asked: RuleInputs, family: Family, place: tuple[str, str, str], rules: tuple[Rule, ...]
) -> Iterator[FilterObject]:
    table, into, name = place
    yield FilterChain(asked.flavour, family, table, name, rules)
    yield FilterJump(asked.flavour, family, table, into, name)


def _mangle(asked: RuleInputs, ranges: Ranges) -> Iterator[FilterObject]:
    """Return the one chain for all forwarded packets without nftables."""
    wrapped = asked.wrapped.get(ranges.family)
    rules = tuple(forwarded_by_name(wrapped)) if wrapped is not None else ()
    if asked.guarded or asked.named or rules:
        whole = _whole(asked, ranges, rules, NAMED_BRIDGES_IPTABLES)
        yield from _hung(asked, ranges.family, ("mangle", "FORWARD", GUARD), whole)
    if wrapped is not None:
        yield from without_sets(wrapped, asked.flavour)


def _whole(asked: RuleInputs, ranges: Ranges, rules: tuple[Rule, ...], bridges: str) -> tuple[Rule, ...]:
    """Return the rules in order: what stays apart goes; packets from the overlay leave the chain at once; connection
    matches come last."""
    apart = _apart(ranges, bridges) if asked.named else ()
    return (*apart, *ranges.inbound(_RETURN), *rules, *(_guard() if asked.guarded else ()))


def _apart(ranges: Ranges, bridges: str) -> tuple[Rule, ...]:
    """Return the rules that keep named networks and the flat overlay from each other, both ways, on every link.

    Docker routes what a container sends outside its network, and would masquerade it into the flat overlay.
    """
    return (
        Rule(Verdict.DROP, in_link=bridges, destination=ranges.network),
        Rule(Verdict.DROP, out_link=bridges, source=ranges.network),
    )


def _nftables(asked: RuleInputs, ranges: Ranges) -> Iterator[FilterObject]:
    if asked.policy.forward and asked.facts.docker_in(Flavour.NFT, ranges.family) is not None:
        marks = (*accepted(asked.linked(ranges.family), Verdict.MARK), *ranges.inbound(Verdict.MARK))
        yield _base(ranges.family, "overlay", _MARKING, marks)
    linked = _linked_sources(asked, ranges.family)
    if linked or asked.masqueraded(ranges.family):
        # Before everybody's: the first chain that settles the source of a connection settles it for all. It has
        # connections tracked, so it stands only where they are anyway.
        rules = (*linked, *_postrouting(asked.policy, ranges, Verdict.KEEP_SOURCE))
        yield _base(ranges.family, "postrouting", _SOURCES, rules)


def _nft_forward(asked: RuleInputs, ranges: Ranges) -> Iterator[FilterObject]:
    """Return the one chain for all forwarded packets, and the chains for packets to this host."""
    wrapped = asked.wrapped.get(ranges.family)
    rules = tuple(forwarded(wrapped)) if wrapped is not None else ()
    if asked.guarded or asked.named or rules:
        whole = _whole(asked, ranges, rules, NAMED_BRIDGES)
        yield _base(ranges.family, "forward", "filter hook forward priority -1", whole)
    if wrapped is not None:
        strangers = asked.policy.encapsulation is EncapsulationGuard.STRANGERS
        yield from with_sets(wrapped, strangers=strangers)


def _base(family: Family, name: str, hook: str, rules: tuple[Rule, ...]) -> FilterChain:
    return FilterChain(Flavour.NFT, family, NFT_TABLE, name, rules, hook)


def _forward(ranges: Ranges) -> tuple[Rule, ...]:
    """Return the `forward` rules; none without links, as packets between containers here look like the overlay's."""
    at_home = () if ranges.links else (ranges.at_home(_RETURN),)
    return (*at_home, *ranges.inbound(_ACCEPT), *ranges.outbound(_ACCEPT))


def _egress(ranges: Ranges) -> tuple[Rule, ...]:
    """Return the rules that let masqueraded packets out, and their answers back, under a policy that drops.

    flannel accepts all packets from and to its network. Here the first packet of any other host to a container is left
    to the host's own rules. Connections are tracked anyway, as they are masqueraded.
    """
    return (
        Rule(_ACCEPT, source=ranges.subnet, destination=ranges.network, not_destination=True),
        Rule(_RETURN, destination=ranges.subnet, fresh=True),
        Rule(_ACCEPT, source=ranges.network, not_source=True, destination=ranges.subnet),
    )


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


def _guard() -> tuple[Rule, ...]:
    """Return the rules for packets that are not the overlay's."""
    return (
        Rule(_RETURN, out_link=BRIDGE, not_out_link=True),
        Rule(_RETURN, in_link=BRIDGE),
        Rule(Verdict.DROP, fresh=True),
    )
