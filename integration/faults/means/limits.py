"""Owns taking things away from one process: memory, file descriptors, the right time.

Each is undone by leaving its `with` block, or ends with the process; nothing of the machine itself is changed.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from integration.hosts.host import Host

CGROUPS = Path("/sys/fs/cgroup")


class FakeClock:
    """The wall clock of one daemon, set off by libfaketime; its monotonic clock stays the machine's."""

    def __init__(self, host: Host) -> None:
        forget_dead_clocks()
        self._file = host.directory / "clock"
        self._set(0)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that the daemon must be started with."""
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        return {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # What it otherwise does to waits by the monotonic clock, which is left alone here, is to have threads spin.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_DONT_RESET": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set the clock off by `seconds` from the right time, from now on."""
        self._set(seconds)

    def _set(self, seconds: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._file)


def forget_dead_clocks() -> None:
    """Remove what libfaketime keeps in shared memory for programs that were killed."""
    for pattern in ("faketime_shm_*", "sem.faketime_sem_*"):
        for path in Path("/dev/shm").glob(pattern):
            if not Path("/proc", path.name.rpartition("_")[2]).exists():
                path.unlink(missing_ok=True)


@contextmanager
def memory_group(name: str) -> Iterator[Path]:
    """A memory cgroup of its own, of either version; a process that is left in it at the end goes back to the root."""
    v1 = CGROUPS / "memory"
    root = v1 if (v1 / "cgroup.procs").exists() else CGROUPS
    group = root / name
    if root == CGROUPS:
        (root / "cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    try:
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (root / "cgroup.procs").write_text(pid)
        for _ in range(500):
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.02)


def launch_in(group: Path, host: Host) -> None:
    """Start the daemon in the group: what it had before it came would not be charged to it."""
    join = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    host.daemon.launch(argv=["sh", "-c", join, "sh", *host.daemon.program.argv])


def limit_growth(group: Path, octets: int) -> None:
    """The kernel kills a process of the group that makes it grow by more than that."""
    v1 = (group / "memory.limit_in_bytes").exists()
    used = int((group / ("memory.usage_in_bytes" if v1 else "memory.current")).read_text())
    (group / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(used + octets))


@contextmanager
def few_descriptors(pid: int, *, spare: int) -> Iterator[None]:
    """Let the process open no more than `spare` further descriptors."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names are all that is wanted
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (_limit_that_leaves(pid, used + spare), before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def _limit_that_leaves(pid: int, count: int) -> int:
    """The limit is on the number of a new descriptor, and there are gaps among them."""
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    limit = 0
    while sum(number < limit for number in taken) + sum(n not in taken for n in range(limit)) < count:
        limit += 1
    return limit
