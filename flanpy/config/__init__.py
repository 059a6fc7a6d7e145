"""Settings of this host: default < file < environment < flag, every value with its origin.

`load` gives the frozen `Settings`; `options.OPTIONS` is the one table that flags, environment names, file keys, help,
documentation and completion are made from. Must not: log, exit, or touch anything but the files it is pointed at.
"""

from __future__ import annotations

from flanpy.config.settings import (
    EtcdOptions,
    FilterOptions,
    ListenAddress,
    ListenOptions,
    LogOptions,
    Origin,
    Settings,
    UnderlayOptions,
)

__all__ = [
    "EtcdOptions",
    "FilterOptions",
    "ListenAddress",
    "ListenOptions",
    "LogOptions",
    "Origin",
    "Settings",
    "UnderlayOptions",
]
