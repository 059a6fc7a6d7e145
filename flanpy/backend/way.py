"""The path to a peer, for people: the text that `flanpyctl subnets` shows beside each lease."""

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
    """`kinds` has one element for each family, or for all alike; `reason` says why, "" if it is obvious."""

    kinds: tuple[WayKind, ...]
    reason: str = ""

    def __str__(self) -> str:
        return "/".join(kind.value for kind in self.kinds)


Ways = Callable[[Lease], Way]
"""Says of an admitted peer how it is reached."""


def one_way(kind: WayKind, reason: str = "") -> Ways:
    """Return the same path for all peers."""
    way = Way((kind,), reason)
    return lambda _: way


def joined(parts: Iterable[tuple[WayKind, str]]) -> Way:
    """Join the paths of the families into one."""
    found = list(parts)
    kinds = tuple(dict.fromkeys(kind for kind, _ in found))
    return Way(kinds or (WayKind.NONE,), "; ".join(dict.fromkeys(reason for _, reason in found if reason)))
