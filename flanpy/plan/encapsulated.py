"""Rules against encapsulated packets that are not an overlay host's: of either family and every flavour. Pure.

A VXLAN frame carries no proof of its sender: whoever gets a datagram to the port has packets in the overlay, with any
source address. The kernel asks for no more than the VNI.

- `encapsulated`: a container can send such a datagram to another host, and its own host masquerades it, so it comes
  from a peer; or to an address of its own host, or through the overlay to one of another host. What comes in by the
  containers' bridges or the overlay's links, or from an overlay address, goes to no host at that port. Nor does what
  comes in by any other bridge, unless it is from a host of the overlay, such as a virtual machine of ours.
- `strangers`: nobody but hosts with a lease sends to this one. Not for everybody: a host behind NAT, or with several
  underlay addresses, sends from another address than its lease names.

Where a packet goes is asked before the route is (prerouting), which serves what is forwarded and what is for this host
by one chain. What containers send each other at the same port, in an overlay of their own, is none of this, nor is what
they send to hosts that are not the overlay's. iptables has no sets: there, what containers send to that port goes
nowhere but into the overlay, and strangers are not told from peers.

A network may contain the underlay, as flannel's documented 10.0.0.0/8 does where hosts are in 10.x: hosts with a lease
are exempt from the rule about overlay addresses, on the underlay link only, as a container can forge theirs elsewhere.
Without sets all that comes by the underlay link is exempt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from flanpy.model.address import Family, IPNetwork
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
from flanpy.plan.filter_text import port_match

ENCAPSULATED = "encapsulated"
STRANGERS = "strangers"
IPTABLES_CHAIN = "FLANPY-ENCAP"

_BRIDGES = (BRIDGE, DEFAULT_BRIDGE)
_DROP = Verdict.DROP


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """How packets of one family come to this host from others.

    `ports` are the UDP ports, `vxlan` those of them at which the kernel itself listens, which asks nobody; the UDP
    tunnel knows its peers. `links` are the overlay's, `underlay` is that which the packets come by.
    """

    family: Family
    network: IPNetwork
    ports: tuple[int, ...]
    vxlan: tuple[int, ...]
    links: tuple[str, ...]
    underlay: str

    @property
    def usual(self) -> Rule:
        """What hosts send each other all the time, which shall meet no more rules than it must."""
        return Rule(Verdict.RETURN, source=self.network, not_source=True, in_link=self.underlay)

    @property
    def suspects(self) -> tuple[Rule, ...]:
        """Who sends no encapsulated packets, with sets or without."""
        by_link = [Rule(_DROP, in_link=link) for link in dict.fromkeys((*_BRIDGES, *self.links))]
        return (*by_link, Rule(_DROP, source=self.network))


def with_sets(one: Encapsulation, *, strangers: bool) -> Iterator[FilterObject]:
    """The chains in nftables."""
    if one.ports:
        yield _chain(one, ENCAPSULATED, "-150", _from_inside(one))
    if strangers and one.vxlan:
        # before connections are tracked: a flood of strangers shall not fill that table
        yield _chain(one, STRANGERS, "-300", _from_outside(one))


def _chain(one: Encapsulation, name: str, priority: str, rules: tuple[Rule, ...]) -> FilterChain:
    hook = f"filter hook prerouting priority {priority}"
    return FilterChain(Flavour.NFT, one.family, NFT_TABLE, name, rules, hook)


def _from_inside(one: Encapsulation) -> tuple[Rule, ...]:
    suspects = (*one.suspects, Rule(_DROP, by_bridge=True, not_from_member=True))
    counted = [replace(suspect, counted=ENCAPSULATED) for suspect in suspects]
    return (
        Rule(Verdict.RETURN, not_ports=one.ports),
        one.usual,
        Rule(Verdict.RETURN, in_link=one.underlay, from_member=True),
        *(replace(rule, to_host=True) for rule in counted),
        *(replace(rule, to_member=True) for rule in counted),
    )


def _from_outside(one: Encapsulation) -> tuple[Rule, ...]:
    return (
        Rule(Verdict.RETURN, not_ports=one.vxlan),
        Rule(_DROP, not_from_member=True, to_host=True, counted=STRANGERS),
    )


def without_sets(one: Encapsulation, flavour: Flavour) -> Iterator[FilterObject]:
    """The chain in iptables, and the jump of what is for the port: nothing else meets more than that one rule."""
    if not one.ports:
        return
    links = [rule for rule in one.suspects if rule.in_link not in one.links]
    rules = (
        Rule(Verdict.RETURN, in_link=one.underlay),
        *(replace(rule, to_host=True) for rule in one.suspects),
        *(replace(rule, destination=one.network, not_destination=True) for rule in links),
    )
    yield FilterChain(flavour, one.family, "mangle", IPTABLES_CHAIN, rules)
    match = port_match(one.ports)
    yield FilterJump(flavour, one.family, "mangle", "PREROUTING", IPTABLES_CHAIN, match=match)
