"""The standard library's logging, as libraries use it, in our own form."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Final

from flanpy.log.logger import get_logger

_QUIET_S: Final = 60.0
_SAME_KIND: Final = 60
"""Characters of a line in which two of a kind agree."""
_MOST_KINDS: Final = 64


@dataclass(slots=True)
class _Quiet:
    """A kind of line that was just written."""

    until: float
    left_out: int = 0


class Bridge(logging.Handler):
    """Brings the lines of libraries into our form, and one of a kind a minute: asyncio without file descriptors says
    so a hundred times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet: dict[str, _Quiet] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        repeated = self._repeated(f"{record.name} {text[:_SAME_KIND]}")
        if repeated is None:
            return
        keys: dict[str, Any] = {"logger": record.name, "message": text}
        if repeated:
            keys["count"] = repeated
        if record.exc_info:
            keys["exc_info"] = record.exc_info
        get_logger().log(record.levelno, "library_logged", **keys)

    def _repeated(self, kind: str) -> int | None:
        """Return how many records of this kind were suppressed before this one; None if this one is suppressed, too."""
        now = time.monotonic()
        if len(self._quiet) >= _MOST_KINDS:
            self._quiet = {name: each for name, each in self._quiet.items() if now < each.until}
        name = kind if kind in self._quiet or len(self._quiet) < _MOST_KINDS else ""
        known = self._quiet.get(name)
        if known is not None and now < known.until:
            known.left_out += 1
            return None
        self._quiet[name] = _Quiet(now + _QUIET_S)
        return 0 if known is None else known.left_out
