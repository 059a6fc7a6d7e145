"""Checksum offload of the VXLAN device: the operator's setting, the host's links, the peers' measurements.

Values only. With the offload on, the inner checksum is left to the sender of the frame: the network card, or the kernel
right before it. The kernel keeps a TCP stream in pieces of 64 KiB until then, which is several times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class OffloadChoice(Enum):
    """The setting `vxlan-tx-checksum`."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class LinkDriver:
    """A link that frames of the underlay leave by, and its driver as `ethtool -i` names it; "" where it is not told."""

    link: str
    driver: str = ""

    def __str__(self) -> str:
        return f"{self.link} (driver {self.driver or 'unknown'})"


@dataclass(frozen=True, slots=True)
class Corruption:
    """Findings of peers: packets whose checksum was left to `drivers` came to `peers` with a wrong one.

    It says nothing of other links: a host that moves to another card is measured again.
    """

    drivers: tuple[LinkDriver, ...]
    peers: tuple[str, ...]


class OffloadReason(Enum):
    """Why the offload is on or off. The value is what machines see."""

    SET = "Set"
    RIGHT = "Right"
    OLD_KERNEL = "OldKernel"
    BROKEN_DRIVER = "BrokenDriver"
    CORRUPTED = "Corrupted"


@dataclass(frozen=True, slots=True)
class Offload:
    """The decision: `why` is one line for people, `links` what it looked at."""

    on: bool
    reason: OffloadReason
    why: str
    links: tuple[LinkDriver, ...] = ()
    corruption: Corruption | None = None
