"""Owns waiting with a deadline for what can only be polled. It must not be used where an event can be awaited."""

from __future__ import annotations

import time
from collections.abc import Callable

from integration.net.namespaces import LabError

POLL_S = 0.01

PATIENCE = 4.0
"""What every deadline is multiplied by. A deadline bounds a hang and measures nothing; shared machines stand still for
ten seconds and more at times."""


def wait_until(condition: Callable[[], bool], what: str, *, deadline: float, poll: float = POLL_S) -> float:
    """Poll `condition` until it holds and return the seconds that took; LabError naming `what` when it is late."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > deadline * PATIENCE:
            raise LabError(f"{what}: not so after {deadline * PATIENCE:g} s")
        time.sleep(poll)
    return time.monotonic() - start
