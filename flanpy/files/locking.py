"""The wait for a lock on an open file (flock(2)), which the kernel drops with its holder."""

from __future__ import annotations

import fcntl
import time
from typing import Final

_STEP_S: Final = 0.05


def lock_by(descriptor: int, deadline: float) -> bool:
    """Take the exclusive lock; report False if another holds it until `deadline` (monotonic). Raises OSError."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_STEP_S)
        else:
            return True
