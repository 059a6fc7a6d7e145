"""Settings of this host: default < file < environment < flag, every value with its origin.

`load` gives the frozen `Settings`; `options.OPTIONS` is the one table that flags, environment names, file keys, help,
documentation and completion are made from. Must not: log, exit, or touch anything but the files it is pointed at.
"""

from __future__ import annotations

from flanpy.config.loading import DEFAULT_FILE, Described, changed, describe, in_force, load, needing_restart
from flanpy.config.settings import (
    EtcdOptions,
    FilterOptions,
    ListenAddress,
    ListenOptions,
    LogOptions,
    Origin,
    ProbeOptions,
    Settings,
    UnderlayOptions,
)
from flanpy.config.usage import answer, help_text

__all__ = [
    "DEFAULT_FILE",
    "Described",
    "EtcdOptions",
    "FilterOptions",
    "ListenAddress",
    "ListenOptions",
    "LogOptions",
    "Origin",
    "ProbeOptions",
    "Settings",
    "UnderlayOptions",
    "answer",
    "changed",
    "describe",
    "help_text",
    "in_force",
    "load",
    "needing_restart",
]
