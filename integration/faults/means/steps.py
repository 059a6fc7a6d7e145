"""Owns killing a daemon at a chosen step of its start: SIGKILL before a system call is made (see syscall_gate).

A step is a system call and the how-manieth of it in the process. Its threads take turns as they like, so that the next
start may come to another call by that number; over all numbers every call has its turn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from integration.faults.means import syscall_gate
from integration.hosts.host import Host
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

END_DEADLINE_S = 30.0
SETTLE_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """The `number`th call of that name, from 1."""

    syscall: str
    number: int

    def __str__(self) -> str:
        return f"{self.syscall} {self.number}"


def steps_of_a_start(host: Host) -> list[Step]:
    """Start the daemon until it is ready, and kill it; every step it took, in their order."""
    listing = host.directory / "steps"
    _launch(host, "--list", str(listing))
    try:
        host.daemon.wait_ready()
        time.sleep(SETTLE_S)  # what comes after: the listeners' sockets, the first probes
    finally:
        host.daemon.kill()
    words = (line.split() for line in listing.read_text().splitlines())
    return [Step(syscall, int(number)) for syscall, number in words]


def start_killed_at(host: Host, step: Step) -> bool:
    """Start the daemon and have it killed at that step; False if it was ready without having come there."""
    _launch(host, "--kill", f"{step.syscall}:{step.number}")
    try:
        wait_until(
            lambda: not host.daemon.running or host.daemon.is_ready(), str(step), deadline=END_DEADLINE_S
        )
        with suppress(LabError):  # steps of the listeners come after readiness
            wait_until(lambda: not host.daemon.running, str(step), deadline=SETTLE_S / 4)
        return not host.daemon.running
    finally:
        host.daemon.kill()


def spread(steps: Sequence[T], count: int) -> list[T]:
    """So many of them, evenly over all, the first and the last among them."""
    if len(steps) <= count:
        return list(steps)
    return [steps[round(index * (len(steps) - 1) / (count - 1))] for index in range(count)]


def launch_without(host: Host, kind: str) -> None:
    """Start the daemon on a kernel that lacks this kind of link."""
    _launch(host, "--without", kind)


def _launch(host: Host, *options: str) -> None:
    gate = [sys.executable, "-IS", syscall_gate.__file__, *options, "--"]
    host.daemon.launch(argv=[*gate, *host.daemon.program.argv])
