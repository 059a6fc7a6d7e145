"""Waits for the daemon's status to be one that will do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from flanpy.cli.base.control import Control
from flanpy.errors import ControlError, ControlUnreachable

POLL_S: Final = 0.2
"""Seconds between two questions: the daemon tells of its state only if asked."""

Said = Mapping[str, Any]


def is_ready(said: Said) -> bool:
    """Report whether a status is that of a ready daemon."""
    return bool(said.get("ready"))


def waited(control: Control, timeout: float, until: Callable[[Said], bool] = is_ready) -> Said:
    """Return the first status that will do, else the last one had. ControlUnreachable if there never was any."""
    deadline = time.monotonic() + timeout
    last: Said | None = None
    while True:
        try:
            last = control.get("status")
            if until(last):
                return last
        except ControlError as error:
            trouble = error
        if time.monotonic() + POLL_S > deadline:
            break
        time.sleep(POLL_S)
    if last is None:
        raise ControlUnreachable(f"{trouble} (waited {timeout:g} s)") from trouble
    return last
