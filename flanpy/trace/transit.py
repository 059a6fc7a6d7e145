"""Follows packets between this host's containers and a peer through the packet filter, and says what harms them.

Run as a program by the daemon, which asks after a change of rules: reading whole rule sets takes memory that is not
needed between two looks. The daemon's documents come in on standard input, what was met goes out as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.transit import Harm, Obstacle, Transit
from flanpy.trace import documents
from flanpy.trace.hop import Hop, HopVerdict, Place, Walk
from flanpy.trace.read import Reading
from flanpy.trace.walk import walk

_HARMS: Final = {
    (Place.FILTER_BEFORE_ROUTE, HopVerdict.DIES): Harm.DROPPED,
    (Place.FILTER, HopVerdict.DIES): Harm.DROPPED,
    (Place.SOURCE_ADDRESS, HopVerdict.DIES): Harm.DROPPED,
    (Place.SOURCE_ADDRESS, HopVerdict.HARMS): Harm.SOURCE_HIDDEN,
}
_NOWHERE: Final = Path("/nonexistent")
_LEAST: Final = 8
"""Addresses of a subnet that may have containers."""

Pair = tuple[IPAddress, IPAddress]


def pairs(status: Mapping[str, Any], subnets: Mapping[str, Any]) -> Iterator[Pair]:
    """Source and destination: from a container here to one of a peer and back, in each family."""
    for version in (4, 6):
        seen = documents.overlay(status, subnets, version)
        there = next((one.subnet for one in seen.leases if one.way and _is_fit(one.subnet)), None)
        if seen.own is not None and there is not None and _is_fit(seen.own.subnet):
            yield seen.own.subnet[2], there[2]
            yield there[2], seen.own.subnet[2]


def _is_fit(subnet: IPNetwork) -> bool:
    return subnet.num_addresses >= _LEAST


def obstacles(walks: Iterable[Walk]) -> Iterator[Obstacle]:
    """Each rule once."""
    seen = set()
    for walked in walks:
        for hop in walked.hops:
            harm = _HARMS.get((hop.place, hop.verdict))
            if harm is not None and (hop.text, hop.evidence) not in seen:
                seen.add((hop.text, hop.evidence))
                yield _obstacle(harm, walked, hop)


def _obstacle(harm: Harm, walked: Walk, hop: Hop) -> Obstacle:
    rule = "; ".join(hop.evidence)
    return Obstacle(harm, hop.text, rule, f"{walked.source} -> {walked.destination}", hop.cure)


def written(found: Transit) -> str:
    rows = [[one.harm.value, one.met, one.rule, one.packet, one.cure] for one in found.obstacles]
    return json.dumps({"obstacles": rows, "unread": found.unread})


def main() -> None:
    """Read, follow, tell."""
    asked = json.load(sys.stdin)
    walks = [
        walk(Reading(lambda name: asked.get(name, {}), _NOWHERE).look(destination, source))
        for source, destination in pairs(asked["status"], asked["subnets"])
    ]
    unread = next((line for walked in walks for line in walked.unread), "")
    sys.stdout.write(written(Transit(tuple(obstacles(walks)), unread)))


if __name__ == "__main__":
    main()
