"""Writes to the TUN device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import EBADF, EBADFD

Pieces = Sequence[bytes | bytearray | memoryview]


def put(queue: int, pieces: Pieces) -> bool:
    """Write one packet, its virtio header in front. False: it was not taken. Raises OSError if the device is gone."""
    try:
        os.writev(queue, pieces)
    except OSError as error:
        if error.errno in {EBADF, EBADFD}:
            raise
        return False  # the device is down, or nothing reads what it is given
    return True
