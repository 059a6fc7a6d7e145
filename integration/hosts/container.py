"""Owns a container's stand-in: a namespace on its host's bridge with an address out of the host's subnet."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from integration.net import namespaces
from integration.net.namespaces import LabError

_COUNTS = re.compile(r"\d+ packets transmitted, \d+ received")
_TIME = re.compile(r"= ([\d.]+)/")


@dataclass(frozen=True, slots=True)
class PingResult:
    """The result of a ping; times in milliseconds, None when nothing came back."""

    sent: int
    received: int
    rtt: float | None
    rtt_max: float | None

    @property
    def ok(self) -> bool:
        """Report whether every packet came back."""
        return self.sent > 0 and self.received == self.sent


def ping(
    namespace: str, address: str, *, count: int = 1, wait: float = 1.0, size: int | None = None
) -> PingResult:
    """Ping from a namespace; `wait` is seconds for each answer, `size` sends that payload with Don't Fragment set.

    One program for each packet: of several packets, ping waits for the last no longer than twice a round trip.
    """
    answers = [_ping_once(namespace, address, wait=wait, size=size) for _ in range(count)]
    times = [answer for answer in answers if answer is not None]
    return PingResult(
        sent=count,
        received=len(times),
        rtt=sum(times) / len(times) if times else None,
        rtt_max=max(times, default=None),
    )


def _ping_once(namespace: str, address: str, *, wait: float, size: int | None) -> float | None:
    """Return the milliseconds of the round trip, None if nothing came back."""
    extra = [] if size is None else ["-M", "do", "-s", str(size)]
    argv = ["ping", "-n", "-q", "-c", "1", "-W", f"{wait:g}", *extra, address]
    done = namespaces.run_in(namespace, argv, check=False, timeout=wait + 10)
    if _COUNTS.search(done.stdout) is None:
        if "unreachable" in done.stderr or "too long" in done.stdout + done.stderr:
            return None
        raise LabError(f"ping {address} in {namespace}: {(done.stderr or done.stdout).strip()}")
    found = _TIME.search(done.stdout)
    return float(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Container:
    """One container; its veth's other end is `port` on its host's bridge."""

    name: str
    host: str
    namespace: str
    port: str
    address: str
    mtu: int

    def run(self, *argv: str, check: bool = True, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return namespaces.run_in(self.namespace, argv, check=check, timeout=timeout)

    def ping(
        self, other: Container | str, *, count: int = 1, wait: float = 1.0, size: int | None = None
    ) -> PingResult:
        """Ping another container, or an address."""
        address = other if isinstance(other, str) else other.address
        return ping(self.namespace, address, count=count, wait=wait, size=size)


def unreached(containers: Sequence[Container], *, wait: float = 1.0) -> tuple[tuple[str, str], ...]:
    """The ordered pairs (from, to) of which no ping comes through; empty when everyone reaches everyone."""
    return tuple(
        (one.name, other.name)
        for one in containers
        for other in containers
        if one is not other and not one.ping(other, wait=wait).ok
    )
