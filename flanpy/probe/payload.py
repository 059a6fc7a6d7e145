"""Datagrams of full size by which a peer checks the checksums of this host, as bytes and as what they came to. Pure.

A sender gives a peer one with a checksum that the kernel made, the control. Once the peer has told that it came whole,
two more follow: one whose checksum is left to the network card, and several in one that the card, or the kernel right
before it, cuts as it cuts TCP. The control proves that the path takes such packets and that the peer judges them
rightly: only beside it do the others say anything of the sender's card. It also has the peer listen beneath the overlay
for a moment (`ear.py`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MAGIC: Final = 0x464C5063
"""At the start of each payload; the kernel drops all other datagrams before they cost anything."""

UDP_HEADER: Final = 8
PIECES: Final = 3
"""Datagrams in one that is to be cut."""

CONVINCED_BY: Final = 2
"""Sets in a row that came corrupted before it is said: one packet may be broken by anything on the way."""

TRIES: Final = 3
"""Sets to a peer that answers none, before only every few askings have one: it may be older than this check."""

_HEAD: Final = struct.Struct("!IIIB")
_FILL: Final = bytes(range(1, 256))


class Make(Enum):
    """Makers of a checksum."""

    KERNEL = "kernel"
    CARD = "card"
    CARD_CUT = "card, when it cuts"


@dataclass(frozen=True, slots=True)
class Piece:
    """One datagram: `boot` tells the sender's process from others, `number` the set's datagram, `piece` its part."""

    boot: int
    number: int
    piece: int = 0


def payload(boot: int, number: int, size: int, pieces: int = 1) -> bytes:
    """Make the content of a datagram of so many bytes, without header; `pieces` of them, one behind the other."""
    fill = (_FILL * (size // len(_FILL) + 1))[: max(0, size - _HEAD.size)]
    return b"".join(_HEAD.pack(MAGIC, boot, number, piece) + fill for piece in range(pieces))


def read(octets: bytes) -> Piece | None:
    """Read a datagram's payload; None if it is none of ours."""
    if len(octets) < _HEAD.size:
        return None
    magic, boot, number, piece = _HEAD.unpack_from(octets)
    return Piece(boot, number, piece) if magic == MAGIC else None


@dataclass(slots=True)
class Checked:
    """A peer's word on the datagrams of this host; `sent` are those of the last set that it did not tell of yet.

    `tries` counts sets without a verdict, `corrupted` sets in a row that came so, `known` says that one came whole.
    """

    sent: dict[int, Make] = field(default_factory=dict)
    told: dict[Make, bool] = field(default_factory=dict)
    tries: int = 0
    corrupted: int = 0
    known: bool = False
    _judged: bool = False
    _followed: bool = False

    def begin(self, sent: dict[int, Make]) -> None:
        """Take the control of a new set, by number."""
        self.sent, self.told, self._judged, self._followed = sent, {}, False, False
        self.tries += 1

    @property
    def is_due(self) -> bool:
        """Report whether the control came whole, and the rest of the set did not go out yet."""
        return self.told.get(Make.KERNEL) is True and not self._followed

    def follow(self, sent: dict[int, Make]) -> None:
        """Take the rest of the set, by number."""
        self.sent.update(sent)
        self._followed = True

    def tell(self, number: int, *, whole: bool) -> bool | None:
        """Take the peer's word on one; says whether its set came whole, None while that is open or said already."""
        make = self.sent.pop(number, None)
        if make is None:
            return None
        self.told[make] = whole
        if self._judged or not self._followed:
            return None
        if False in self.told.values():
            self._judged = True
            self.tries, self.corrupted = 0, self.corrupted + 1
            return False
        if self.sent:
            return None
        self.tries, self.corrupted, self.known = 0, 0, True
        return True

    @property
    def is_convinced(self) -> bool:
        """Report whether it is certain that the card errs."""
        return self.corrupted >= CONVINCED_BY

    @property
    def wants_more(self) -> bool:
        """Report whether to ask at the next occasion: nothing is certain yet, and the peer may know."""
        undecided = not self.known or self.corrupted > 0
        return undecided and not self.is_convinced and self.tries < TRIES
