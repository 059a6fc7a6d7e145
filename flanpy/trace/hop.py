"""One station of a packet's way, and the whole walk. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from flanpy.trace.seen import Direction


class Verdict(Enum):
    """PASSES: goes on. HARMS: goes on, but changed, or not always. DIES: ends here. UNKNOWN: not readable."""

    PASSES = "passes"
    HARMS = "harms"
    DIES = "dies"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hop:
    """`text` says what is met, `evidence` what it was told from, `cure` what to do unless it passes."""

    name: str
    verdict: Verdict
    text: str
    evidence: tuple[str, ...] = ()
    cure: str = ""


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
        """Where it would die, else what would harm it, the first of them."""
        for verdict in (Verdict.DIES, Verdict.HARMS):
            found = next((hop for hop in self.hops if hop.verdict is verdict), None)
            if found is not None:
                return found
        return None

    @property
    def verdict(self) -> Verdict:
        """Of the whole: unknown if nothing bad was seen, but not everything could be."""
        if self.fatal is not None:
            return self.fatal.verdict
        unknown = any(hop.verdict is Verdict.UNKNOWN for hop in self.hops)
        return Verdict.UNKNOWN if unknown else Verdict.PASSES

    def as_json(self) -> Mapping[str, Any]:
        """Keys are stable: `at` is the hop that `verdict` is of, "" if it passes or is not known."""
        return {
            "destination": self.destination,
            "source": self.source,
            "assumed": self.assumed,
            "direction": self.direction.value,
            "verdict": self.verdict.value,
            "at": self.fatal.name if self.fatal else "",
            "hops": [{**asdict(hop), "verdict": hop.verdict.value} for hop in self.hops],
            "unread": list(self.unread),
        }
