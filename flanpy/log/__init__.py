"""Structured logging: the form of a line, the glossary of its keys, and secrets masked.

A module writes `log = get_logger()` at its top and `log.info("lease_acquired", subnet=..., took_ms=...)`: the event is
a stable snake_case noun_past constant, every value is a key of `KEYS`. Log transitions, not repetitions
(`flanpy.outage`).
"""

from __future__ import annotations

from flanpy.log.keys import KEYS
from flanpy.log.logger import get_logger
from flanpy.log.secrets import MASK, protect
from flanpy.log.setup import LEVELS, configure

__all__ = ["KEYS", "LEVELS", "MASK", "configure", "get_logger", "protect"]
