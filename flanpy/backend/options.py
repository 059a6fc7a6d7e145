"""Reads the options of a backend from the network config, with one clear error for each bad value."""

from __future__ import annotations

from collections.abc import Mapping

from flanpy.errors import ConfigError
from flanpy.model.quoting import quoted


class Reader:
    """Typed look-ups in the Backend object of a network config; `raw` has its keys in lower case."""

    def __init__(self, backend: str, raw: Mapping[str, object]) -> None:
        self._backend = backend
        self._raw = raw

    def integer(self, name: str, default: int, *, low: int, high: int, off: int | None = None) -> int:
        """A whole number from `low` to `high`, or `off` where that stands for "not given"."""
        value = self._raw.get(name.lower(), default)
        allowed = isinstance(value, int) and (low <= value <= high or value == off)
        if isinstance(value, bool) or not isinstance(value, int) or not allowed:
            raise ConfigError(
                f"Backend.{name} of {self._backend} is {quoted(value)}: give a whole number from {low} to {high}"
            )
        return value

    def boolean(self, name: str, *, default: bool = False) -> bool:
        value = self._raw.get(name.lower(), default)
        if not isinstance(value, bool):
            raise ConfigError(f"Backend.{name} of {self._backend} is {quoted(value)}: give true or false")
        return value
