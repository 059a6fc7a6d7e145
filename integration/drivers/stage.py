"""Owns how the demo looks: numbered steps with timings, in colour on a terminal only (and not with NO_COLOR)."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_BOLD, _DIM, _GREEN, _RED = "1", "2", "32", "31"


class Failed(Exception):
    """A step did not come out as it must; one line says how."""


class Stage:
    """The demo's progress, and what is printed about it."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.number = 0
        self.title = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A numbered step: its title before, the time it took after; nothing is printed after when it fails."""
        self.number += 1
        self.title = title
        print(self._paint(f"[{self.number}/{self._steps}] {title}", _BOLD), flush=True)
        start = time.monotonic()
        yield
        self.say(self._paint(f"done in {time.monotonic() - start:.2f} s", _GREEN))
        print(flush=True)

    def say(self, text: str) -> None:
        """A line, or several, below the step's title."""
        print(textwrap.indent(text.rstrip("\n"), "      "), flush=True)

    def command(self, *words: str) -> None:
        """Print the command that an operator would type for the next step."""
        self.say(self._paint(f"$ {' '.join(words)}", _DIM))

    def fail(self, reason: str) -> None:
        """The demo ends here: which step, and why."""
        print(self._paint(f"FAILED at step {self.number}, {self.title}", _RED), flush=True)
        self.say(reason)

    def close(self, verdict: str) -> None:
        """The last line."""
        print(self._paint(verdict, _GREEN), flush=True)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def matrix(corner: str, names: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """A table with one row and one column per name."""
    table = [[corner, *names], *([name, *cells] for name, cells in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table
    )
