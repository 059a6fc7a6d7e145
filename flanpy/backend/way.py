"""How a peer is reached, for people: the answer that `flanpyctl subnets` shows beside each lease."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from flanpy.model.lease import Lease


class WayKind(Enum):
    """The value is the word shown."""

    DIRECT = "direct"
    TUNNEL = "tunnel"
    COMMAND = "command"
    PROVIDER = "provider"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Way:
    """`kinds` has one element for each family, or for all alike; `reason` says why, "" where it goes without saying."""

    kinds: tuple[WayKind, ...]
    reason: str = ""

    def __str__(self) -> str:
        return "/".join(kind.value for kind in self.kinds)


Ways = Callable[[Lease], Way]
"""Says of an admitted peer how it is reached."""


def one_way(kind: WayKind, reason: str = "") -> Ways:
    """All peers are reached alike."""
    way = Way((kind,), reason)
    return lambda _: way


def joined(parts: Iterable[tuple[WayKind, str]]) -> Way:
    """One way out of those of the families."""
    found = list(parts)
    kinds = tuple(dict.fromkeys(kind for kind, _ in found))
    return Way(kinds or (WayKind.NONE,), "; ".join(dict.fromkeys(reason for _, reason in found if reason)))
