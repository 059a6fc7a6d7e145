"""What a daemon takes at one moment, by /proc and etcd; nothing of it is asked of the daemon."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from integration.lab import EtcdApi, Host, wait_until
from integration.soak.crowd import Crowd

KIB_IN_MIB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the start, MiB, counts, percent of a core since the last look, milliseconds."""

    at: float
    pss: float
    rss: float
    heap: float
    fds: int
    threads: int
    netlink: int
    cpu: float
    lag: float
    etcd_leases: int


class Sampler:
    """Looks at one host's daemon."""

    def __init__(self, host: Host, api: EtcdApi) -> None:
        self._host = host
        self._api = api
        self._began = time.monotonic()
        self._before = (self._began, cpu_seconds(host.daemon.pid))

    def look(self, *, lag: float, peers: int) -> Sample:
        """Now. `lag` is measured by the caller; etcd's leases are counted above one for each of `peers`."""
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
            lag=lag,
            etcd_leases=len(self._api.call("/v3/lease/leases", {}).get("leases", [])) - peers,
        )


def lag_ms(host: Host, crowd: Crowd) -> float:
    """Churn, and how long after the last lease was written its route stands; two milliseconds of it are `ip`'s."""
    came = None
    while came is None:
        came = crowd.churn(2)
    began = time.monotonic()
    subnet = str(came.subnet)
    wait_until(
        lambda: bool(host.ip_json("-4", "route", "show", subnet)), f"a route to {subnet}", deadline=30, poll=0
    )
    return round((time.monotonic() - began) * 1000, 1)


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads that live."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


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
