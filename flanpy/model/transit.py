"""The effect of this host's packet filter on packets between containers and peers, read from its rules. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Harm(Enum):
    """The harm to a packet. DROPPED: it ends there. SOURCE_HIDDEN: its source is rewritten; peers see no container."""

    DROPPED = "dropped"
    SOURCE_HIDDEN = "source hidden"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One rule that harms the overlay: `met` is its place, `rule` its text, `packet` the packet followed to it."""

    harm: Harm
    met: str
    rule: str
    packet: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Transit:
    """The result of one look. `unread`: the reason why the rules could not be judged, "" if they were."""

    obstacles: tuple[Obstacle, ...] = ()
    unread: str = ""
