"""Owns a container's stand-in: a namespace on its host's bridge with an address out of the host's subnet."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from integration.net import namespaces
from integration.net.namespaces import LabError

_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+) received")
_TIMES = re.compile(r"= ([\d.]+)/([\d.]+)/([\d.]+)")


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
    namespace: str,
    address: str,
    *,
    count: int = 1,
    wait: float = 1.0,
    interval: float = 0.01,
    size: int | None = None,
) -> PingResult:
    """Ping from a namespace; `wait` is seconds for an answer, `size` sends that payload with Don't Fragment set."""
    extra = [] if size is None else ["-M", "do", "-s", str(size)]
    argv = ["ping", "-n", "-q", "-c", str(count), "-i", f"{interval:g}", "-W", f"{wait:g}", *extra, address]
    done = namespaces.run_in(namespace, argv, check=False, timeout=count * (wait + interval) + 10)
    counts = _COUNTS.search(done.stdout)
    if counts is None:
        if "unreachable" in done.stderr or "too long" in done.stdout + done.stderr:
            return PingResult(sent=count, received=0, rtt=None, rtt_max=None)
        raise LabError(f"ping {address} in {namespace}: {(done.stderr or done.stdout).strip()}")
    times = _TIMES.search(done.stdout)
    return PingResult(
        sent=int(counts[1]),
        received=int(counts[2]),
        rtt=float(times[2]) if times else None,
        rtt_max=float(times[3]) if times else None,
    )


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
