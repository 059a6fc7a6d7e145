"""The last probes over one path, by number: the round-trip time of each, or that no answer came (yet).

There are two windows for each of a thousand peers, so one is a flat array of numbers and times.
"""

from __future__ import annotations

from array import array
from typing import Final

LENGTH: Final = 20
"""The number of probes from which loss is computed."""

_LOST: Final = -1.0


class Window:
    """Numbers stand at even places, seconds behind them."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells = array("d")

    def __len__(self) -> int:
        return len(self._cells) // 2

    def sent(self, number: int) -> None:
        self._cells.extend((number, _LOST))
        if len(self) > LENGTH:
            del self._cells[:2]

    def answered(self, number: int, seconds: float) -> None:
        """However late. What has left the window is not known any more."""
        numbers = self._cells[::2]
        if number in numbers:
            self._cells[2 * numbers.index(number) + 1] = seconds

    def forget_losses(self) -> None:
        kept = [(self._cells[at], self._cells[at + 1]) for at in range(0, len(self._cells), 2)]
        self._cells = array("d", [cell for pair in kept if pair[1] != _LOST for cell in pair])

    @property
    def newest(self) -> int | None:
        """The number of the last probe that was sent."""
        return int(self._cells[-2]) if self._cells else None

    @property
    def times(self) -> list[float]:
        """Seconds of those that were answered, the oldest first."""
        return [seconds for seconds in self._cells[1::2] if seconds != _LOST]

    @property
    def loss(self) -> float:
        """The share without an answer, 0 to 1."""
        return 1 - len(self.times) / len(self) if self._cells else 0.0
