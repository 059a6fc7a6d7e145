"""Rules about packets that containers send into the overlay and to its hosts: of either family and every flavour. Pure.

A VXLAN frame carries no proof of its sender: any datagram that reaches the port injects packets into the overlay, with
any source address. The kernel checks only the VNI.

- `input`, at this host: encapsulated packets come by the underlay link. Packets from a bridge or from the overlay are a
  container's, to any address of this host, broadcast and multicast included. The one exception is an overlay host that
  is a virtual machine behind a bridge: it is accepted there, from an address to which the bridge leads.
- `forward`, on the way to other hosts: a container can send such a datagram to another host, with its own address,
  which its host masquerades into a peer's, or with a forged one. No link that leads to containers forwards such a
  packet out of its own network. A packet from a bridge into the overlay must have a source to which this bridge
  leads, so that no container can use the address of another host's container.
- `strangers`: only hosts with a lease may send to this one. It is off by default: a host behind NAT, or with several
  underlay addresses, sends from another address than its lease names.

IPIP has no ports: its packets are those of IP protocol 4, and the kernel takes them from anybody, as VXLAN's.

The host's own packets meet neither `forward` nor bridges. Overlay packets between containers leave `forward` by its
first rules. Ports are matched, never excluded: only the first fragment of a packet has any. Packets that
containers send each other at the same port, in an overlay of their own, are not affected.

A network may contain the underlay, as flannel's documented 10.0.0.0/8 does where hosts are in 10.x: hosts with a lease
are exempt from the rule about overlay addresses, on the underlay link only, as a container can forge theirs elsewhere.

iptables has no sets and knows no kinds of links: there, only packets from the underlay link are accepted or forwarded,
and unknown senders are not told from peers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from flanpy.model.address import Family
from flanpy.model.bridge import BRIDGE, DEFAULT_BRIDGE
from flanpy.model.packet_filter import (
    NFT_TABLE,
    FilterChain,
    FilterJump,
    FilterObject,
    Flavour,
    Rule,
    Verdict,
)
from flanpy.plan.filter_text import IPIP_MATCH, port_match
from flanpy.plan.overlay_ranges import Ranges

ENCAPSULATED = "encapsulated"
SPOOFED = "spoofed"
STRANGERS = "strangers"
IPTABLES_CHAIN = "FLANPY-ENCAP"

_BRIDGES = (BRIDGE, DEFAULT_BRIDGE)
_CONTAINERS = ("br-+", "docker+")
"""Links that lead to containers of this host, as far as their names tell; that of network mode is guarded besides."""

_DROP, _RETURN = Verdict.DROP, Verdict.RETURN
_WRAPPED = Rule(_DROP, counted=ENCAPSULATED)


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """The encapsulated packets of one family, as they come to this host from others.

    `ports` are the UDP ports, `vxlan` those of them at which the kernel itself listens without checking the sender;
    the UDP tunnel knows its peers. `ipip`: there are packets of protocol 4 as well, whose sender nobody checks either.
    `tunnel` is the link by which they come from overlay addresses of hosts, encrypted; "" if they do not.
    `links` are the overlay's links, `underlay` is the link by which the packets
    arrive.
    """

    ranges: Ranges
    ports: tuple[int, ...]
    vxlan: tuple[int, ...]
    links: tuple[str, ...]
    underlay: str
    ipip: bool = False
    tunnel: str = ""

    @property
    def family(self) -> Family:
        return self.ranges.family

    @property
    def _elsewhere(self) -> Rule:
        """Return the drop rule for packets from a bridge that is not the underlay link."""
        return replace(_WRAPPED, by_bridge=True, in_link=self.underlay, not_in_link=True)

    def heard(self) -> Iterator[Rule]:
        """Return the rules for packets to this host. The first port rule matches the regular traffic between hosts."""
        network, underlay = self.ranges.network, self.underlay
        if not (self.ports and self.ipip):
            yield Rule(_RETURN, not_udp=not self.ipip, not_ipip=self.ipip)
        rules = (
            Rule(_RETURN, source=network, not_source=True, in_link=underlay),
            Rule(_RETURN, in_link=underlay, from_member=True),
            *((Rule(_RETURN, in_link=self.tunnel, from_member=True),) if self.tunnel else ()),
            *(replace(_WRAPPED, in_link=link) for link in dict.fromkeys((*_BRIDGES, *self.links))),
            replace(self._elsewhere, no_way_back=True),
            Rule(_RETURN, from_member=True),
            replace(_WRAPPED, source=network),
            self._elsewhere,
        )
        yield from self.of_each(rules)

    def led_on(self) -> Iterator[Rule]:
        """Return the rules for packets to others, once traffic between containers has left the chain."""
        rules = (
            replace(self._elsewhere, off_link=True, no_way_back=True),
            replace(self._elsewhere, off_link=True, not_from_member=True),
            *(replace(_WRAPPED, in_link=link, to_member=True) for link in self.links),
            replace(_WRAPPED, source=self.ranges.network, to_member=True, not_from_member=True),
        )
        yield from self.of_each(rules)

    def of_each(self, rules: Iterable[Rule]) -> Iterator[Rule]:
        """Yield the rules for UDP, then for protocol 4, as far as there are such packets."""
        rules = tuple(rules)
        yield from (replace(rule, ports=self.ports) for rule in rules if self.ports)
        yield from (replace(rule, ipip=True) for rule in rules if self.ipip)

    @property
    def any(self) -> bool:
        """Report whether there are encapsulated packets at all."""
        return bool(self.ports) or self.ipip

    def passing(self) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
        """Return the rules for container traffic: by tunnel, and by the underlay (part of it may be encapsulated)."""
        tunnels = tuple(link for link in self.ranges.links if link != self.underlay)
        plain = tuple(link for link in self.ranges.links if link == self.underlay)
        by_tunnel = replace(self.ranges, links=tunnels).outbound(_RETURN) if tunnels else ()
        return by_tunnel, replace(self.ranges, links=plain).outbound(_RETURN) if plain else ()


def with_sets(one: Encapsulation, *, strangers: bool) -> Iterator[FilterObject]:
    """Return the chains in nftables, except `forward`, which other rules share."""
    if one.any:
        yield _chain(one, "input", "filter hook input priority -1", tuple(one.heard()))
    if strangers and (one.vxlan or one.ipip):
        # before connections are tracked: a flood of strangers must not fill that table
        rule = Rule(_DROP, not_from_member=True, to_host=True, counted=STRANGERS)
        unchecked = replace(one, ports=one.vxlan)
        yield _chain(
            one, STRANGERS, "filter hook prerouting priority -300", tuple(unchecked.of_each((rule,)))
        )


def _chain(one: Encapsulation, name: str, hook: str, rules: tuple[Rule, ...]) -> FilterChain:
    return FilterChain(Flavour.NFT, one.family, NFT_TABLE, name, rules, hook)


def forwarded(one: Encapsulation) -> Iterator[Rule]:
    """Return the rules of `forward` in nftables about encapsulated packets and about source addresses."""
    by_tunnel, plain = one.passing()
    yield from by_tunnel
    yield from one.led_on()
    yield from plain
    for link in one.ranges.links:
        rule = Rule(_DROP, destination=one.ranges.network, out_link=link, counted=SPOOFED)
        yield replace(rule, by_bridge=True, no_way_back=True)


def without_sets(one: Encapsulation, flavour: Flavour) -> Iterator[FilterObject]:
    """Return the chain in iptables for this host, and the one rule that all other packets pass."""
    if one.any:
        rules = (Rule(_RETURN, in_link=one.underlay), Rule(_RETURN, in_link="lo"), Rule(_DROP))
        yield FilterChain(flavour, one.family, "mangle", IPTABLES_CHAIN, rules)
    for match in filter(None, (port_match(one.ports) if one.ports else "", IPIP_MATCH if one.ipip else "")):
        yield FilterJump(flavour, one.family, "mangle", "INPUT", IPTABLES_CHAIN, match=match)


def forwarded_by_name(one: Encapsulation) -> Iterator[Rule]:
    """Return the rules of `forward` as far as iptables can express them."""
    by_tunnel, plain = one.passing()
    elsewhere = Rule(_DROP, in_link=one.underlay, not_in_link=True)
    yield from by_tunnel
    if one.any:
        yield from one.of_each((replace(elsewhere, out_link=one.underlay),))
        yield from (Rule(_RETURN, out_link=link) for link in _CONTAINERS)
        yield from one.of_each((replace(elsewhere, out_link=BRIDGE, not_out_link=True),))
    yield from plain
    yield from (Rule(_RETURN, in_link=link, out_link=BRIDGE, not_out_link=True) for link in one.links)
    network = one.ranges.network
    for link in one.ranges.links:
        yield replace(elsewhere, source=network, destination=network, out_link=link)
        yield Rule(_DROP, destination=network, in_link=BRIDGE, out_link=link)
