"""The choice of packets to follow through this host's kernel: a few stand for all. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flanpy.api.leases import PeerDocument, SubnetDocument
from flanpy.doctor.addresses import networks
from flanpy.doctor.facts import Facts
from flanpy.model.address import IPAddress, IPNetwork, is_within
from flanpy.trace.seen import Direction, Seen

OUR_PROTO: Final = ("70", "flanpy")

_PEERS: Final = 3
"""How many peers packets are followed to; those in trouble come first. Each takes about a fifth of a second."""

Pair = tuple[IPAddress | None, IPAddress]


def packets(facts: Facts) -> Iterator[Pair]:
    """Source and destination: from a container here to containers of some peers, and from the first of them to here.

    A host without a bridge in its subnet has no containers yet: then it is this host that sends, and nothing comes in.
    """
    for number in (4, 6):
        own = next((one for one in facts.own if one.version == number), None)
        if own is None or own.num_addresses < 8:
            continue
        there = _peers(facts, own)
        bridge = next((link for one, link in facts.addresses.items() if one in own and one != own[0]), "")
        for subnet in there:
            yield (own[2] if bridge else None), subnet[2]
        if there and bridge:
            yield there[0][2], own[2]


def is_for_idle_bridge(seen: Seen) -> bool:
    """Report whether a packet from outside is for a bridge without carrier: no container is attached, so none loses it.

    The packet's own reading decides. Containers come and go meanwhile, so an earlier reading can contradict it.
    """
    device = seen.device(seen.inner.link) if seen.inner is not None else None
    return seen.direction is Direction.IN and device is not None and device.up and not device.carrier


def _peers(facts: Facts, own: IPNetwork) -> list[IPNetwork]:
    """Subnets of peers, the worst first; without a daemon to name them those that this host has routes to."""
    if "subnets" not in facts.answers:
        return _routed(facts, own)[:_PEERS]
    ailing = {_range(row, own) for row in facts.peers.peers if row.reach in {"unreachable", "lossy"}}
    rows = [
        row for row in facts.subnets.subnets if not row.own and row.way
    ]  # without a way nothing is sent to it
    rows.sort(key=lambda row: (_range(row, own) not in ailing, row.state == "programmed"))
    found = [subnet for row in rows for subnet in networks(_range(row, own))]
    fit = [one for one in found if one.version == own.version and one != own and one.num_addresses >= 8]
    return fit[:_PEERS]


def _routed(facts: Facts, own: IPNetwork) -> list[IPNetwork]:
    found = [
        to
        for route in facts.routes
        if (to := route.destination).version == own.version
        and (route.link in facts.overlay_links or route.proto in OUR_PROTO)
        and any(to != network and is_within(to, network) for network in facts.networks)
    ]
    return [to for to in dict.fromkeys(found) if not to.overlaps(own) and to.num_addresses >= 8]


def _range(row: SubnetDocument | PeerDocument, own: IPNetwork) -> str | None:
    """Return the row's subnet of the family of ours."""
    return row.subnet if own.version == 4 else row.subnet6
