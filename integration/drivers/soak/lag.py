"""The time from the write of a lease until its route stands, for every new lease, by the kernel's own announcements.

`ip monitor` waits beside the daemon and prints when it heard of a route, so that looking costs nothing: asking for the
route again and again took a core, and on a busy machine measured that.
"""

from __future__ import annotations

import subprocess
import threading
import time
from datetime import datetime
from types import TracebackType
from typing import IO, Self

from integration.hosts.host import Host
from integration.net.namespaces import enter_argv

LATE_S = 2.0
"""From when on a route that lacks is counted before it comes: a daemon that stands still has a lag."""


class Lags:
    """The routes that are wanted and seen, by destination. Times are wall-clock seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, float] = {}
        self._lags: list[float] = []

    def came(self, subnet: str) -> None:
        """Note a lease; called right before the lease is written."""
        with self._lock:
            self._wanted[subnet] = time.time()

    def went(self, subnet: str) -> None:
        """Note that the lease is removed: a route that is still missing will not come."""
        with self._lock:
            self._wanted.pop(subnet, None)

    def seen(self, subnet: str, at: float) -> None:
        """Note that a route to the subnet stands."""
        with self._lock:
            since = self._wanted.pop(subnet, None)
            if since is not None:
                self._lags.append(max(0.0, at - since))

    def take_ms(self, now: float) -> list[float]:
        """Return the lags of all routes seen since the last call, and of those that are late and still missing."""
        with self._lock:
            lags, self._lags = self._lags, []
            lags += [now - since for since in self._wanted.values() if now - since > LATE_S]
        return [round(lag * 1000, 1) for lag in lags]


class RouteWatch:
    """Notes in `lags` when the routes of a host came."""

    def __init__(self, host: Host) -> None:
        self.lags = Lags()
        self._monitor = subprocess.Popen(
            [*enter_argv(host.namespace), "ip", "-4", "-ts", "monitor", "route"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self._monitor.stdout,), daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._monitor.kill()
        self._monitor.wait()
        self._reader.join(10)

    def _read(self, out: IO[str]) -> None:
        for line in out:
            stamp, told, text = line.partition("] ")
            if told and stamp.startswith("["):
                self.lags.seen(text.partition(" ")[0], datetime.fromisoformat(stamp[1:]).timestamp())
