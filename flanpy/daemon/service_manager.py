"""The daemon as its service manager sees it: READY, the status line, the watchdog, time to start.

In: each change of the status board. Out: notifications of sd_notify(3). Must not decide anything about the overlay.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Never

from flanpy.clock import Clock, set_within
from flanpy.status.board import StatusBoard, StatusSnapshot
from flanpy.status.judge.conditions import Phase
from flanpy.systemd import Notifier, watchdog_interval

JUDGE_INTERVAL: Final = 5.0
"""Seconds between two judgements of conditions that change by time alone."""

WAITING_INTERVAL: Final = 1.0
"""The same while a condition waits for its time to be shown."""

STARTING_INTERVAL: Final = 1.0
"""The same before READY, so that systemd is asked for time before a short limit is over."""

MORE_TIME: Final = 60.0
"""Seconds that systemd is asked for while a first pass works; three times what lies between two requests."""

LONGEST_START: Final = 1800.0
"""Seconds of a start after which systemd is asked for no more: a pass that hangs keeps Docker waiting no longer."""


class ServiceManager:
    """Notifies the service manager. `passing_for` returns the seconds of the pass under way, 0 between passes."""

    def __init__(self, notifier: Notifier, *, clock: Clock, passing_for: Callable[[], float]) -> None:
        self._notifier = notifier
        self._clock = clock
        self._passing_for = passing_for
        self._started_at = clock.monotonic()
        self._waiting = asyncio.Event()
        self._ready = False
        self._status = ""

    def starting(self) -> None:
        self._notifier.status("starting")

    def stopping(self) -> None:
        self._notifier.stopping()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Announce a reload and its end. Before READY nothing is sent: the READY=1 at the end would be untrue."""
        ready = self._ready
        if ready:
            self._notifier.reloading()
        yield
        if ready:
            self._notifier.ready()

    def status_changed(self, snapshot: StatusSnapshot) -> None:
        """Send READY once, and the status line after each change."""
        text = _line(snapshot)
        # A drained host is as ready as it will be: systemd must not end what idles on purpose.
        if (snapshot.ready or snapshot.phase is Phase.DRAINED) and not self._ready:
            self._ready = True
            self._notifier.ready(text)
        elif text != self._status:
            self._notifier.status(text)
        self._status = text

    def judge_soon(self) -> None:
        """Have the next judgement made after `WAITING_INTERVAL`: a condition waits for its time to be shown."""
        self._waiting.set()

    async def pulse(self, board: StatusBoard, *, also: Callable[[], None]) -> Never:
        """Feed the watchdog, judge what changes by time alone, and call `also`, until cancelled."""
        interval = watchdog_interval(os.environ)
        while True:
            board.judge_again()
            also()
            if interval is not None:
                self._notifier.watchdog()
            self._ask_for_time()
            if not board.is_waiting:
                self._waiting.clear()
                often = JUDGE_INTERVAL if self._ready else STARTING_INTERVAL
                await set_within(self._waiting, self._clock, min(interval or often, often))
            if board.is_waiting:
                await self._clock.sleep(min(interval or WAITING_INTERVAL, WAITING_INTERVAL))

    def _ask_for_time(self) -> None:
        """Have systemd wait for a first pass that works on many peers: ended in it, the next start would be as long."""
        started = self._clock.monotonic() - self._started_at
        if not self._ready and self._passing_for() > 1.0 and started < LONGEST_START:
            self._notifier.extend(MORE_TIME)


def _line(snapshot: StatusSnapshot) -> str:
    unhealthy = [c for c in snapshot.conditions if not c.healthy]
    if not unhealthy:
        return snapshot.phase.value
    first = unhealthy[0]
    return f"{snapshot.phase.value}: {first.type.value} {first.reason}: {first.message}"
