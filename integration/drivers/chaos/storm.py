"""One storm: every blow of it in a thread of its own, at its time, and what became of each.

What is taken back late, on a machine that has no time, keeps the next one on the same part waiting.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from integration.drivers.chaos.schedule import Blow, collide
from integration.faults.catalogue import FAULTS
from integration.faults.fault import Evidence, StrikeContext, Tell
from integration.hosts.lab import Lab
from integration.net.namespaces import LabError
from integration.truth.fabric import VXLAN, Fabric


@dataclass(frozen=True, slots=True)
class Struck:
    """The record of a blow (monotonic seconds). A blow with `missed` found nothing to strike."""

    blow: Blow
    begin: float
    end: float
    missed: str = ""


class Storm:
    """Strikes; what a blow has to say meanwhile goes to `tell`."""

    def __init__(self, lab: Lab, tell: Tell, fabric: Fabric = VXLAN) -> None:
        self._lab = lab
        self._fabric = fabric
        self._tell = tell
        self._ended = threading.Event()
        self._under_way: list[Blow] = []
        self._news = threading.Condition()

    def rage(self, blows: Sequence[Blow]) -> list[Struck]:
        """Strike all, and return when the last is taken back. A fault that cannot be taken back raises."""
        began = time.monotonic()
        with ThreadPoolExecutor(max_workers=max(1, len(blows))) as threads:
            tasks = [threads.submit(self._strike, blow, began) for blow in blows]
            try:
                return [task.result() for task in tasks]
            except BaseException:
                self._ended.set()  # those that wait take theirs back at once
                raise

    def _strike(self, blow: Blow, began: float) -> Struck:
        self._ended.wait(began + blow.at - time.monotonic())
        with self._alone(blow):
            return self._struck(blow, began)

    @contextlib.contextmanager
    def _alone(self, blow: Blow) -> Iterator[None]:
        """While no other blow works on the same part."""
        with self._news:
            self._news.wait_for(lambda: not any(collide(blow, other) for other in self._under_way))
            self._under_way.append(blow)
        try:
            yield
        finally:
            with self._news:
                self._under_way.remove(blow)
                self._news.notify_all()

    def _context(self, blow: Blow) -> StrikeContext:
        return StrikeContext(
            lab=self._lab,
            struck=tuple(self._lab.host(name) for name in blow.hosts),
            dice=Random(blow.seed),
            lasts=blow.lasts,
            fabric=self._fabric,
            tell=self._tell,
            ended=self._ended,
            what=str(blow),
        )

    def _struck(self, blow: Blow, began: float) -> Struck:
        steps = FAULTS[blow.kind].strike(self._context(blow))
        begin = time.monotonic()
        missed = _advance(steps)
        if not missed:
            self._ended.wait(began + blow.ends - time.monotonic())
            _take_back(steps, blow)
        return Struck(blow, begin, time.monotonic(), missed)


def _advance(steps: Iterator[Evidence | None]) -> str:
    """Strike. What another fault took away before cannot be struck: that is told, and no trouble."""
    try:
        next(steps)
    except LabError as error:
        return str(error).partition("\n")[0]
    return ""


def _take_back(steps: Iterator[Evidence | None], blow: Blow) -> None:
    try:
        with contextlib.suppress(StopIteration):
            next(steps)
    except LabError as error:
        raise LabError(f"{blow} could not be taken back: {error}") from error
