"""One station of a packet's way, and the whole walk. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flanpy.trace.filter import Met
from flanpy.trace.seen import Direction


class HopVerdict(Enum):
    """PASSES: goes on. HARMS: goes on, but changed, or not always. DIES: ends here. UNKNOWN: not readable."""

    PASSES = "passes"
    HARMS = "harms"
    DIES = "dies"
    UNKNOWN = "unknown"


class Place(Enum):
    """The place of a packet. The value is what people and machines see."""

    LEASE = "lease"
    NETWORK = "network"
    FORWARDING = "forwarding"
    FILTER_BEFORE_ROUTE = "filter before the route"
    ROUTE = "route"
    DEVICE = "device"
    FILTER = "filter"
    SOURCE_ADDRESS = "source address"
    NEIGHBOUR = "neighbour"
    FDB_ENTRY = "FDB entry"
    TUNNEL_TABLE = "tunnel table"
    GATEWAY = "gateway"
    UNDERLAY = "underlay"
    UNDERLAY_FILTER = "underlay filter"
    UNDERLAY_MTU = "underlay MTU"
    CONTAINER = "container"
    REST_OF_WAY = "rest of the way"


class Cause(Enum):
    """Why a packet does not pass a place, where that alone does not tell. Code decides by it, never by texts."""

    NONE = ""
    DROPPED = "dropped"
    """a rule or policy of the packet filter drops it."""
    DROPPED_BY_DOCKER = "dropped_by_docker"
    """a rule of Docker drops it."""
    SOURCE_REWRITTEN = "source_rewritten"
    DESTINATION_REWRITTEN = "destination_rewritten"
    REVERSE_PATH = "reverse_path"
    """the reverse-path filter drops it."""
    RULE = "rule"
    """a routing rule goes before the main table."""
    NO_BRIDGE = "no_bridge"
    """no bridge of this host has the destination's subnet."""
    NO_ROOM = "no_room"
    """the underlay's packets are too small for IPv6 of the overlay."""
    MTU = "mtu"
    """the next link carries only smaller packets."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of the packet: `text` names the object met, `evidence` its source, `cure` the remedy unless it passes.

    `rule` is the rule of the packet filter behind `cause`, if there is one.
    """

    place: Place
    verdict: HopVerdict
    text: str
    evidence: tuple[str, ...] = ()
    cure: str = ""
    cause: Cause = Cause.NONE
    rule: Met | None = None

    def as_json(self) -> Mapping[str, Any]:
        """Keys are stable. `name` is the place."""
        return {
            "name": self.place.value,
            "verdict": self.verdict.value,
            "text": self.text,
            "evidence": self.evidence,
            "cure": self.cure,
            "cause": self.cause.value,
        }


@dataclass(frozen=True, slots=True)
class Walk:
    """All hops in order, also those after the one where the packet dies: a second fault is worth knowing."""

    destination: str
    source: str
    direction: Direction
    assumed: str
    hops: tuple[Hop, ...]
    unread: tuple[str, ...] = ()

    @property
    def fatal(self) -> Hop | None:
        """Return the first hop where the packet would die, else the first that would harm it; None if there is none."""
        for verdict in (HopVerdict.DIES, HopVerdict.HARMS):
            found = next((hop for hop in self.hops if hop.verdict is verdict), None)
            if found is not None:
                return found
        return None

    @property
    def verdict(self) -> HopVerdict:
        """Of the whole: unknown if nothing bad was seen, but not everything could be."""
        if self.fatal is not None:
            return self.fatal.verdict
        unknown = any(hop.verdict is HopVerdict.UNKNOWN for hop in self.hops)
        return HopVerdict.UNKNOWN if unknown else HopVerdict.PASSES

    def as_json(self) -> Mapping[str, Any]:
        """Keys are stable: `at` is the hop that `verdict` is of, "" if it passes or is not known."""
        return {
            "destination": self.destination,
            "source": self.source,
            "assumed": self.assumed,
            "direction": self.direction.value,
            "verdict": self.verdict.value,
            "at": self.fatal.place.value if self.fatal else "",
            "hops": [hop.as_json() for hop in self.hops],
            "unread": list(self.unread),
        }
