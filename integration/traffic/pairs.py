"""Owns traffic between containers that flows while faults are injected, and the truth about what became of it.

Stream is TCP: ordered, checked byte for byte, and its gaps include TCP's own retransmission back-off. Probe is UDP at
a constant rate: its gaps and losses are the outage itself.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from integration.hosts.container import Container
from integration.net.namespaces import LabError, enter_argv
from integration.net.waiting import wait_until
from integration.traffic import end as traffic_end

_PORTS = itertools.count(20_000)
_NS_PER_MS = 1e6
DRAIN_S = 20.0
STILL_COMING_S = 1.0
"""Seconds without an arrival before what is missing is lost: a starved end or forwarder queues it until then."""


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The result of a TCP stream. `closed` is whether the receiver read it to its end."""

    received_bytes: int
    seconds: float
    longest_gap_ms: float
    in_order: bool
    intact: bool
    closed: bool
    oldest_ms: float

    @property
    def mbit_s(self) -> float:
        """Payload throughput between the first and the last arrival."""
        return self.received_bytes * 8 / 1e6 / self.seconds if self.seconds > 0 else 0.0

    @property
    def whole(self) -> bool:
        """Report whether every byte sent came, in order and unaltered."""
        return self.closed and self.in_order and self.intact


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """The result of a UDP probe; `refused` of the sent datagrams were refused by the sender's own kernel."""

    sent: int
    received: int
    longest_gap_ms: float
    twice: int
    overtaken: int
    refused: int

    @property
    def lost(self) -> int:
        """Datagrams that never came."""
        return self.sent - self.received


class _Traffic:
    """A receiver in one container and a sender in another, and the page they are watched by."""

    role: str

    def __init__(self, source: Container, target: Container, *, interval_ms: float) -> None:
        self.source = source
        self.target = target
        self._interval_ns = int(interval_ms * _NS_PER_MS)
        self._ends: list[subprocess.Popen[str]] = []
        self._page: memoryview[int] | None = None
        self._marks = itertools.count(1)
        self._stopped_at = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def start(self) -> None:
        """Start both ends; returns when the sender is connected."""
        port = str(next(_PORTS))
        with tempfile.NamedTemporaryFile(prefix="gauge-") as file:
            os.ftruncate(file.fileno(), mmap.PAGESIZE)
            self._page = traffic_end.cells(mmap.mmap(file.fileno(), mmap.PAGESIZE))
            self._begin(self.target, [f"receive_{self.role}", self.target.address, port, file.name])
        self._begin(self.source, [f"send_{self.role}", self.target.address, port, str(self._interval_ns)])

    def _begin(self, where: Container, arguments: list[str]) -> None:
        script = str(Path(traffic_end.__file__))
        end = subprocess.Popen(
            [*enter_argv(where.namespace), sys.executable, "-I", "-S", script, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._ends.append(end)
        assert end.stdout is not None
        if not end.stdout.readline():
            _out, trouble = end.communicate(timeout=DRAIN_S)
            self.abort()
            raise LabError(
                f"{arguments[0]} {self.source.name} -> {self.target.name}: {trouble.strip()[-300:]}"
            )

    @property
    def _cells(self) -> memoryview[int]:
        if self._page is None:
            raise LabError("the traffic was not started")
        return self._page

    @property
    def received_bytes(self) -> int:
        """Bytes that have come so far."""
        return self._cells[traffic_end.AMOUNT]

    @property
    def silent_ms(self) -> float:
        """Return the time since the last arrival; raise LabError before the first."""
        last = self._cells[traffic_end.LAST]
        if last == 0:
            raise LabError(f"{self.role} {self.source.name} -> {self.target.name}: nothing came yet")
        return (time.monotonic_ns() - last) / _NS_PER_MS

    @property
    def longest_gap_ms(self) -> float:
        """The longest gap since the last mark(), the silence that lasts now included."""
        return max(self._cells[traffic_end.LONGEST] / _NS_PER_MS, self.silent_ms)

    def mark(self, *, deadline: float = 30.0) -> None:
        """Begin a new window for longest_gap_ms at the next arrival, and wait for that."""
        mark = next(self._marks)
        self._cells[traffic_end.MARK] = mark
        self._wait(lambda: self._cells[traffic_end.ECHO] == mark, deadline)

    def wait_flowing(self, *, deadline: float = 30.0) -> float:
        """Wait for the next arrival; returns the seconds it took."""
        before = self.received_bytes
        return self._wait(lambda: self.received_bytes > before, deadline)

    def _wait(self, condition: Callable[[], bool], deadline: float) -> float:
        what = f"{self.role} {self.source.name} -> {self.target.name} flows"
        return wait_until(condition, what, deadline=deadline, poll=0.002)

    def abort(self) -> None:
        """Kill both ends."""
        for end in self._ends:
            end.kill()
            end.communicate()
        self._ends = []

    def _finish(self) -> tuple[dict[str, Any], dict[str, Any]]:
        receiver, sender = self._ends
        self._stopped_at = time.monotonic_ns()
        sender.send_signal(signal.SIGTERM)
        sent = _report(sender)
        received = self._drained(receiver, sent)
        self._ends = []
        return sent, received

    def _drained(self, receiver: subprocess.Popen[str], sent: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class Stream(_Traffic):
    """A TCP stream. Default pace: 16 KiB each 2 ms (65 Mbit/s), gentle enough to share two cores; 0 is full speed."""

    role = "stream"

    def __init__(self, source: Container, target: Container, *, interval_ms: float = 2.0) -> None:
        super().__init__(source, target, interval_ms=interval_ms)

    def stop(self) -> StreamReport:
        """End the sender, let the receiver read what is under way (up to DRAIN_S), and report."""
        _sent, got = self._finish()
        return StreamReport(
            received_bytes=got["bytes"],
            seconds=(got["last"] - got["first"]) / 1e9,
            longest_gap_ms=max(got["longest_gap"], self._stopped_at - got["last"]) / _NS_PER_MS,
            in_order=got["in_order"],
            intact=got["intact"],
            closed=got["closed"],
            oldest_ms=got["oldest"] / _NS_PER_MS,
        )

    def _drained(self, receiver: subprocess.Popen[str], sent: dict[str, Any]) -> dict[str, Any]:
        try:
            return _report(receiver, deadline=DRAIN_S)
        except subprocess.TimeoutExpired:  # the path is dead: the end of the stream never comes
            receiver.send_signal(signal.SIGTERM)
            return _report(receiver)


class Probe(_Traffic):
    """A UDP probe: a datagram each `interval_ms`."""

    role = "probe"

    def __init__(self, source: Container, target: Container, *, interval_ms: float = 5.0) -> None:
        super().__init__(source, target, interval_ms=interval_ms)

    def stop(self) -> ProbeReport:
        """End both ends and report; what was under way at the end comes first, or is lost after STILL_COMING_S."""
        sent, got = self._finish()
        return ProbeReport(
            sent=sent["sent"],
            received=got["received"],
            longest_gap_ms=max(got["longest_gap"], self._stopped_at - got["last"]) / _NS_PER_MS,
            twice=got["twice"],
            overtaken=got["overtaken"],
            refused=sent["refused"],
        )

    def _drained(self, receiver: subprocess.Popen[str], sent: dict[str, Any]) -> dict[str, Any]:
        whole, since = sent["sent"] * traffic_end.DATAGRAM, time.monotonic_ns()
        while self.received_bytes < whole:
            quiet = time.monotonic_ns() - max(since, self._cells[traffic_end.LAST])
            if quiet > STILL_COMING_S * 1e9:
                break
            time.sleep(0.005)
        receiver.send_signal(signal.SIGTERM)
        return _report(receiver)


def _report(end: subprocess.Popen[str], *, deadline: float = DRAIN_S) -> dict[str, Any]:
    out, trouble = end.communicate(timeout=deadline)
    if not out.strip():
        raise LabError(f"traffic end without a report: {trouble.strip()[-300:]}")
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


def transfer(source: Container, target: Container, *, seconds: float = 1.0) -> StreamReport:
    """A TCP transfer at full speed for so many seconds."""
    with Stream(source, target, interval_ms=0) as stream:
        time.sleep(seconds)
        return stream.stop()
