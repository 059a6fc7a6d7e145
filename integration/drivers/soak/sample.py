"""The resources of a daemon at one moment, by /proc and etcd; the daemon itself is not asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from integration.etcd.api import EtcdApi
from integration.hosts.host import Host

KIB_IN_MIB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the start, MiB, counts, percent of a core since the last look, milliseconds.

    `lag` is the median since the last look of how long a lease took to its route, `lag_worst` the longest.
    """

    at: float
    pss: float
    rss: float
    heap: float
    fds: int
    threads: int
    netlink: int
    cpu: float
    lag: float
    lag_worst: float
    etcd_leases: int


class Sampler:
    """Looks at one host's daemon."""

    def __init__(self, host: Host, api: EtcdApi) -> None:
        self._host = host
        self._api = api
        self._began = time.monotonic()
        self._before = (self._began, cpu_seconds(host.daemon.pid))

    def look(self, *, lags: Sequence[float], peers: int) -> Sample:
        """Take a sample. `lags` are measured by the caller; etcd's leases are counted above one for each of `peers`."""
        pid, now = self._host.daemon.pid, time.monotonic()
        used = cpu_seconds(pid)
        share = (used - self._before[1]) / max(1e-6, now - self._before[0]) * 100
        self._before = (now, used)
        memory = _memory(pid)
        sockets = _sockets(pid)
        return Sample(
            at=round(now - self._began, 2),
            pss=memory["Pss"],
            rss=memory["Rss"],
            heap=memory["Pss_Anon"],
            fds=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
            netlink=len(sockets & _netlink_inodes(pid)),
            cpu=round(share, 2),
            lag=median(lags) if lags else 0.0,
            lag_worst=max(lags, default=0.0),
            etcd_leases=len(self._api.call("/v3/lease/leases", {}).get("leases", [])) - peers,
        )


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads that live."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def _memory(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = (line.split() for line in lines)
    return {words[0][:-1]: round(int(words[1]) / KIB_IN_MIB, 3) for words in sizes}


def _sockets(pid: int) -> set[str]:
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(fd.readlink())
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def _netlink_inodes(pid: int) -> set[str]:
    lines = Path(f"/proc/{pid}/net/netlink").read_text().splitlines()[1:]
    return {line.split()[-1] for line in lines}
