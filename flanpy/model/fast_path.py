"""The container fast path as an operator sees it: the setting, and whether packets are carried so now. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network


class FastPathChoice(Enum):
    """The setting `container-fast-path`."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class FastReason(Enum):
    """Why flows are carried fast, or not. The value is what machines see."""

    CARRIES = "Carries"
    OFF = "Off"
    NOT_PLANNED = "NotPlanned"
    NO_VXLAN = "NoVxlan"
    REFUSED = "Refused"
    LOOKING = "RulesUnread"
    RULES = "RulesLookAtPackets"
    SHAPED = "Shaped"
    WATCHED = "Watched"


@dataclass(frozen=True, slots=True)
class FastPathState:
    """The state now: `why` is one line for people. `asked`: the operator wants it on, and not only where it can be."""

    on: bool
    reason: FastReason
    why: str
    asked: bool = False


@dataclass(frozen=True, slots=True)
class FastTunnel:
    """The place of the programs: the VXLAN device `overlay` over the link `underlay`, and its addresses.

    `local` is this host's underlay address, `network` the whole range, `own` this host's subnet of it.
    """

    underlay: str
    overlay: str
    local: IPv4Address
    port: int
    vni: int
    network: IPv4Network
    own: IPv4Network


@dataclass(frozen=True, slots=True)
class FastCounts:
    """Pairs of packets, as the host handles them (joined ones are one), and inner bytes, of one peer.

    `fast_out` and `fast_in` went past the stack, `slow_out` and `slow_in` the normal way.
    """

    fast_out: tuple[int, int] = (0, 0)
    fast_in: tuple[int, int] = (0, 0)
    slow_out: tuple[int, int] = (0, 0)
    slow_in: tuple[int, int] = (0, 0)
