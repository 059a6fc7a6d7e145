"""Flows between all containers while faults strike, and what was lost of them, when, by the sender's clock."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from integration.hosts.container import Container
from integration.net.namespaces import LabError, enter_argv
from integration.net.waiting import wait_until
from integration.traffic import end as traffic_end

PORT = 7007
INTERVAL_S = 0.02
STILL_COMING = 100
"""Packets that may be under way when the flows are ended one after the other; more are lost."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Packets of one flow that did not come; from the sending of the last that did to that of the next (monotonic)."""

    source: str
    target: str
    lost: int
    begin: float
    end: float

    @property
    def gap(self) -> float:
        """Return the seconds between the two packets that came."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class FlowReport:
    """All flows together."""

    sent: int
    received: int
    losses: tuple[Loss, ...]


class Flows:
    """A flow from every container to every other; `hosts` names whose container has an address."""

    def __init__(self, containers: Sequence[Container], *, directory: Path) -> None:
        self._containers = tuple(containers)
        self._hosts = {each.address: each.host for each in containers}
        self._directory = directory
        self._ends: list[tuple[Container, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        for container in self._containers:
            self._ends.append((container, self._begin(container)))
        for container in self._containers:
            file = self._file(container)
            wait_until(lambda file=file: file.stat().st_size > 0, f"flows of {container.name}", deadline=10)  # type: ignore[misc]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, end in self._ends:
            end.kill()
            end.wait()

    def _file(self, container: Container) -> Path:
        return self._directory / f"flows-{container.name}.jsonl"

    def _begin(self, container: Container) -> subprocess.Popen[bytes]:
        peers = [each.address for each in self._containers if each is not container]
        words = [container.address, str(PORT), str(int(INTERVAL_S * 1e9)), *peers]
        with self._file(container).open("wb") as out:
            return subprocess.Popen(
                [*enter_argv(container.namespace), sys.executable, "-I", "-S", traffic_end.__file__, "mesh", *words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def _lines(self, container: Container) -> list[dict[str, Any]]:
        """Return the lines that an end has reported so far; the last line may be half written."""
        text = self._file(container).read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def losses(self) -> tuple[Loss, ...]:
        """Return every loss reported so far. A loss that lasts is reported when the flow comes back."""
        return tuple(
            Loss(
                self._hosts[line["source"]],
                container.host,
                line["lost"],
                line["from"] / 1e9,
                line["to"] / 1e9,
            )
            for container in self._containers
            for line in self._lines(container)
            if "lost" in line
        )

    def stop(self) -> FlowReport:
        """End every end and report; a flow that is still broken is a loss up to now."""
        now = time.monotonic()
        for _, end in self._ends:
            end.terminate()
        for container, end in self._ends:
            if end.wait(timeout=30) != 0:
                raise LabError(f"flows of {container.name} ended: {self._file(container).read_text()[-300:]}")
        last = {container: self._lines(container)[-1] for container in self._containers}
        losses = [*self.losses()]
        for container, told in last.items():
            for source in self._containers:
                if source is not container:
                    losses.extend(self._tail(source, container, last[source]["sent"], told["seen"], now))
        peers = len(self._containers) - 1
        return FlowReport(
            sent=sum(told["sent"] for told in last.values()) * peers,
            received=sum(sum(told["received"].values()) for told in last.values()),
            losses=tuple(losses),
        )

    def _tail(
        self, source: Container, target: Container, sent: int, seen: dict[str, Any], now: float
    ) -> list[Loss]:
        """Return the loss at the end of a flow."""
        at = seen.get(source.address)
        if at is None:
            return [Loss(source.host, target.host, sent, now - sent * INTERVAL_S, now)]
        missing = sent - at["next"]
        return (
            [Loss(source.host, target.host, missing, at["last"] / 1e9, now)] if missing > STILL_COMING else []
        )
