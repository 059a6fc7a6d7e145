"""Faults that an emulated provider can be given, and counts of its calls. Set and read over HTTP below /lab/."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Faults:
    """`per_second` is a token bucket over all calls of a host's API, 0 for none; `deny` names methods (GCE)."""

    down: bool = False
    slow: float = 0.0
    per_second: float = 0.0
    deny: list[str] = field(default_factory=list)
    full: bool = False
    garbage: bool = False
    """Answers are 200, and not of the API's form."""
    gone: list[str] = field(default_factory=list)
    """Targets that no longer exist, though routes lead to them."""


class Trouble:
    """The faults in force, and the calls so far by action and outcome."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._tokens = 0.0
        self._at = time.monotonic()

    def set(self, text: bytes) -> None:
        """Take faults from JSON; those that it does not name are off."""
        known = {one.name for one in fields(Faults)}
        self.faults = Faults(**{name: value for name, value in json.loads(text).items() if name in known})
        self._tokens = self.faults.per_second

    def count(self, action: str, outcome: str) -> None:
        with self._lock:
            self.calls[f"{action} {outcome}"] += 1

    def throttled(self) -> bool:
        """Take a token, if there is one."""
        rate = self.faults.per_second
        if not rate:
            return False
        with self._lock:
            now = time.monotonic()
            self._tokens = min(rate, self._tokens + (now - self._at) * rate)
            self._at = now
            if self._tokens < 1:
                return True
            self._tokens -= 1
            return False

    def told(self) -> dict[str, Any]:
        with self._lock:
            return dict(self.calls)
