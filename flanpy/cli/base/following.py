"""Looking again and again until interrupted: the pace, and what to say while the daemon does not answer."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from flanpy.errors import ControlError

T = TypeVar("T")

POLL_S: Final = 1.0
CLEAR: Final = "\x1b[H\x1b[2J"  # home, erase the display (ECMA-48)


def answers(ask: Callable[[], T], *, every: float = POLL_S) -> Iterator[T]:
    """Yield the answers of `ask`, without end.

    A ControlError of the first request is raised; each later outage prints one line, as the daemon may restart.
    """
    gc.enable()  # unlike other commands this one may live for days
    yield ask()
    answered = True
    while True:
        time.sleep(every)
        try:
            said = ask()
        except ControlError as error:
            if answered:
                print(f"{error}; still watching", file=sys.stderr)
            answered = False
            continue
        answered = True
        yield said


def changes(ask: Callable[[], T]) -> Iterator[T]:
    """Only what differs from the one before."""
    last: T | None = None
    for said in answers(ask):
        if said != last:
            yield said
        last = said
