"""What this host's packet filter does to packets between containers and peers, as read from its rules. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Harm(Enum):
    """DROPPED: the packet ends there. SOURCE_HIDDEN: it goes on with another source, so peers see no container."""

    DROPPED = "dropped"
    SOURCE_HIDDEN = "source hidden"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One rule that harms the overlay: `met` says where, `rule` is its text, `packet` what was followed to it."""

    harm: Harm
    met: str
    rule: str
    packet: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Transit:
    """One look. `unread` says what kept it from judging, "" if nothing did."""

    obstacles: tuple[Obstacle, ...] = ()
    unread: str = ""
