"""Finished lines, written to a stream that may hang, be full or be closed.

Lines are lost rather than waited for: a journald that hangs must not keep a lease from being renewed.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TextIO

from flanpy.log.logger import get_logger

# sd-daemon(3): journald takes a line's priority from a "<N>" in front.
_PRIORITIES: Final[Mapping[str, str]] = {
    "debug": "<7>",
    "info": "<6>",
    "warning": "<4>",
    "error": "<3>",
    "critical": "<2>",
}


def journal_prefixes(stream: TextIO) -> Mapping[str, str]:
    """The priorities if `stream` is what systemd.exec(5) says it connected to the journal, else nothing."""
    with suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        if os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
            return _PRIORITIES
    return {}


class Lines:
    """Writes finished lines. A reader that went away or does not read, or a full disk, costs the line, not the daemon.

    Lines are lost rather than waited for: a journald that hangs must not keep a lease from being renewed.
    """

    lost = 0
    """Of all streams; there is one."""

    def __init__(self, stream: TextIO, prefixes: Mapping[str, str]) -> None:
        self._stream = stream
        self._prefixes = prefixes

    def __getattr__(self, method: str) -> Callable[[str], None]:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda line: self._write(self._prefixes.get(method, "") + line + "\n")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            if not _takes_lines(self._stream):
                Lines.lost += 1
                return
            self._stream.write(text)
            self._stream.flush()
        if (lost := Lines.lost) and _takes_lines(self._stream):
            Lines.lost = 0
            get_logger().warning("log_lines_lost", count=lost, reason="nobody read the log for a while")


def _takes_lines(stream: TextIO) -> bool:
    """Report whether a write would not block: of a pipe, that a page is free.

    Files never block, nor do streams without a descriptor.
    """
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True
