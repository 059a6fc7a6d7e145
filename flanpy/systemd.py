"""Notifications to the service manager, in the protocol of sd_notify(3); no library needed.

Owns the datagrams to `NOTIFY_SOCKET` and the reading of the watchdog's period. Nothing here ever raises or blocks:
without a service manager, or with a deaf one, every call does nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notifier:
    """Speaks to the socket the service manager named; `address` None means there is nobody to speak to."""

    address: str | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notifier:
        """Take `NOTIFY_SOCKET`: a path, or an abstract name after '@'. Anything else (vsock) is ignored."""
        address = environ.get("NOTIFY_SOCKET", "")
        return cls(address if address[:1] in {"/", "@"} else None)

    def ready(self, status: str = "") -> None:
        """Start-up or reload is complete."""
        self._send("READY=1", status)

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows."""
        self._send(status=text)

    def extend(self, seconds: float) -> None:
        """Start-up takes longer than its time-out, and goes on: it ends, or this is said again, within `seconds`."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def watchdog(self) -> None:
        """The event loop is alive."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> None:
        """Shutdown has begun."""
        self._send("STOPPING=1", status)

    def reloading(self, status: str = "") -> None:
        """A reload has begun; `ready` ends it. Type=notify-reload wants CLOCK_MONOTONIC in the same datagram."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={usec}", status)

    def _send(self, state: str = "", status: str = "") -> None:
        if self.address is None:
            return
        # The protocol is one assignment a line: a newline inside the text would forge another one.
        text = f"STATUS={' '.join(status.split())}" if status else ""
        datagram = "\n".join(part for part in (state, text) if part).encode(errors="replace")
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(name)
            sock.send(datagram)


def watchdog_interval(environ: Mapping[str, str], *, pid: int | None = None) -> float | None:
    """Seconds between two `watchdog` calls, None if no watchdog waits for this process.

    Half of WATCHDOG_USEC, as sd_watchdog_enabled(3) recommends. WATCHDOG_PID, if set, must be ours: a child that
    inherited the environment is not the one that is watched.
    """
    watched = environ.get("WATCHDOG_PID", "")
    if watched and watched != str(os.getpid() if pid is None else pid):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    if not usec.isascii() or not usec.isdigit() or int(usec) == 0:
        return None
    return int(usec) / 2_000_000
