"""Owns killing a daemon at a chosen step of its start: strace delivers SIGKILL as a system call is entered.

A step is a system call and the how-manieth of it in one thread, so that the same step is met again in the next start.
Steps that read or wait are left out: nothing can be half done in them.
"""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from os import kill
from pathlib import Path

from integration.lab import Host, LabError
from integration.lab.daemon import flanpyd
from integration.lab.waiting import wait_until

SYSCALLS = (
    "rename", "unlink", "mkdir", "chmod", "fchmod", "fsync", "write", "pwrite64", "ftruncate", "flock",
    "sendto", "sendmsg", "connect", "bind", "listen", "clone3",
)  # fmt: skip
END_DEADLINE_S = 30.0
SETTLE_S = 1.0
_LINE = re.compile(r"(\d+) +(\w+)\(")


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """The `number`th call of a thread, from 1."""

    syscall: str
    number: int

    def __str__(self) -> str:
        return f"{self.syscall} {self.number}"


def steps_of_a_start(host: Host) -> list[Step]:
    """Start the daemon under strace until it is ready; every step it took. It is killed then."""
    listing = host.directory / "steps"
    _launch(host, "--seccomp-bpf", f"-o{listing}", f"-etrace={','.join(SYSCALLS)}")
    try:
        host.daemon.wait_ready()
        time.sleep(SETTLE_S)  # what comes after: the listeners, the first probes
    finally:
        _end(host)
    matches = (_LINE.match(line) for line in listing.read_text().splitlines())
    taken = Counter((found[1], found[2]) for found in matches if found)
    most: dict[str, int] = {}
    for (_thread, syscall), count in taken.items():
        most[syscall] = max(count, most.get(syscall, 0))
    return sorted(Step(syscall, number) for syscall, count in most.items() for number in range(1, count + 1))


def start_killed_at(host: Host, step: Step) -> bool:
    """Start the daemon and have it killed at that step; False if it was ready without having come there.

    Not with --seccomp-bpf, with which strace 6.1 delivers no signal.
    """
    _launch(
        host,
        "-o/dev/null",
        f"-etrace={step.syscall}",
        f"-einject={step.syscall}:signal=KILL:when={step.number}",
    )
    try:
        wait_until(
            lambda: not host.daemon.running or host.daemon.is_ready(), str(step), deadline=END_DEADLINE_S
        )
        with suppress(LabError):  # steps of the listeners come after readiness
            wait_until(lambda: not host.daemon.running, str(step), deadline=SETTLE_S / 4)
        return not host.daemon.running
    finally:
        _end(host)


def _launch(host: Host, *options: str) -> None:
    host.daemon.launch(argv=["strace", "-f", "-qq", *options, *flanpyd().argv])


def _end(host: Host) -> None:
    """The daemon first: strace, when killed, lets it go on."""
    for child in _children(host.daemon.pid):
        with suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)
    host.daemon.kill()


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
