"""Lines for people: a colour and a width on a terminal, plain text in a pipe.

Owns the marks and tones that all commands share. The same words come out in both; NO_COLOR and TERM=dumb are obeyed.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from enum import Enum
from typing import Final

from flanpy.cli.base.output import printable


class Tone(Enum):
    """The weight of a line; the value is the escape of its colour."""

    GOOD = "\x1b[32m"
    WARN = "\x1b[33m"
    BAD = "\x1b[31m"
    UNSURE = "\x1b[35m"
    FIX = "\x1b[36m"
    FAINT = "\x1b[2m"
    PLAIN = ""


_SIGNS: Final = {Tone.GOOD: ("✓", "ok"), Tone.WARN: ("!", "!"), Tone.BAD: ("✕", "x"), Tone.UNSURE: ("?", "?")}


def mark(tone: Tone) -> str:
    """Return the mark of a tone, in ASCII where the output's encoding has no other."""
    sign, plain = _SIGNS[tone]
    try:
        sign.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return plain
    return sign


def is_terminal() -> bool:
    """Report whether a person looks at the output."""
    return sys.stdout.isatty()


def say(text: str, tone: Tone = Tone.PLAIN, *, indent: int = 0, hang: int = 0) -> None:
    """Print one line; on a terminal wrapped between words, what follows set in by `hang`."""
    line = " " * indent + printable(text)
    if not is_terminal():
        print(line.rstrip())
        return
    width = max(40, shutil.get_terminal_size().columns)
    wrapped = textwrap.wrap(
        line, width, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False
    )
    shown = "\n".join(wrapped or [""])
    print(f"{tone.value}{shown}\x1b[0m" if tone.value and _has_colour() else shown)


def next_step(text: str) -> None:
    """Name the one command to type next, on a terminal only."""
    if is_terminal():
        say(text, Tone.FAINT)


def _has_colour() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
