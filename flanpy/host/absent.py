"""Why something that was looked for on disk counts as not there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Absent:
    """`reason` is one line for the log; '' if there simply is no file, which is no news."""

    reason: str = ""
