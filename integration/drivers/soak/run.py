"""A whole soak: the lab, the crowd, the churn at its pace, a look now and then, and the verdict."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from integration.drivers.soak import inside
from integration.drivers.soak.crowd import NETWORK, Crowd
from integration.drivers.soak.lag import RouteWatch
from integration.drivers.soak.sample import Sample, Sampler
from integration.drivers.soak.trend import Bound, Trend, trend
from integration.etcd.api import EtcdApi
from integration.etcd.cluster import CLIENT_PORT
from integration.hosts.daemon import FLANPY_MARKS, Program, ReadyBy
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.net.waiting import wait_until

SEEN = Program((sys.executable, "-P", inside.__file__), ReadyBy.READYZ, FLANPY_MARKS)
"""The daemon with a window into its heap."""
LOOKS_INSIDE = 8
LOOKS = 150
"""So many samples in a run, though none oftener than each second."""
BOUNDS = (
    # The daemon's own pages are judged closely. PSS also grows by what other Pythons gave up when they ended.
    Bound("heap", "MiB", 2.0, 6.0),
    Bound("rss", "MiB", 4.0, 6.0),
    Bound("pss", "MiB", 12.0, 6.0),
    Bound("fds", "", 8, 0),
    Bound("threads", "", 2, 0),
    Bound("netlink", "", 1, 0),
    Bound("etcd_leases", "", 1, 0),
    Bound("cpu", "%", 10, 10),
    # Two cores with other work delay everything by a second at times; a backlog that piles up is more than that.
    Bound("lag", "ms", 1000, 0),
)


@dataclass(frozen=True, slots=True)
class Soaked:
    """The result of a soak, by host."""

    minutes: float
    peers: int
    changes: int
    samples: dict[str, list[Sample]]
    bounds: tuple[Bound, ...] = BOUNDS

    def trends(self, host: str) -> list[Trend]:
        """Return a trend for each bound."""
        return [
            trend(bound, [(each.at, float(getattr(each, bound.name))) for each in self.samples[host]])
            for bound in self.bounds
        ]

    @property
    def growing(self) -> list[str]:
        """Return the measures that grow more than they may, a line each."""
        return [
            f"{host}: {each.bound.name} rose by {each.rise:.2f} {each.bound.unit} in {each.seconds:.0f} s, "
            f"{each.per_hour:.1f} an hour; {each.allowed:.2f} is allowed"
            for host in self.samples
            for each in self.trends(host)
            if each.grows
        ]


def soak(
    *,
    minutes: float,
    peers: int = 1000,
    hosts: int = 1,
    pace: float = 0.01,
    bounds: tuple[Bound, ...] = BOUNDS,
    say: Callable[[str], None] = lambda _line: None,
    window: Path | None = None,
    program: Program | None = None,
) -> Soaked:
    """Run daemons among so many peers, of which the share `pace` changes each second.

    With a `window` directory the daemons tell there what their heap is made of, now and then.
    """
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(hosts, program=SEEN if window is not None else program))
        lab.configure(network=NETWORK)
        member = lab.etcd.members[0]
        api = EtcdApi(member.namespace, ("127.0.0.1", CLIENT_PORT))
        crowd = Crowd(api, peers)
        _start(lab, window)
        wait_until(
            lambda: all(_routes(host) >= peers for host in lab.hosts),
            f"{peers} peers programmed",
            deadline=60,
            poll=0.2,
        )
        say(f"{peers} peers stand on {hosts} host(s); {peers * pace:g} changes a second for {minutes:g} min")
        written = crowd.changes
        watches = {host: stack.enter_context(RouteWatch(host)) for host in lab.hosts}
        crowd.watchers = tuple(watch.lags for watch in watches.values())
        samples = _churned(watches, crowd, api, minutes * 60, peers * pace, look_inside=window is not None)
        return Soaked(minutes, peers, crowd.changes - written, samples, bounds)


def _start(lab: Lab, window: Path | None) -> None:
    for host in lab.hosts:
        told = {inside.FILE: str(window / f"inside-{host.name}.jsonl")} if window is not None else {}
        host.daemon.launch(env=told)
    for host in lab.hosts:
        host.daemon.wait_ready(deadline=30)


def _churned(
    watches: Mapping[Host, RouteWatch],
    crowd: Crowd,
    api: EtcdApi,
    seconds: float,
    rate: float,
    *,
    look_inside: bool,
) -> dict[str, list[Sample]]:
    """The samples of so many seconds of churn, by host."""
    samplers = {host: Sampler(host, api) for host in watches}
    samples: dict[str, list[Sample]] = {host.name: [] for host in watches}
    looks = inside_looks = 0
    between = max(1.0, seconds / LOOKS)
    began, written = time.monotonic(), crowd.changes
    while (passed := time.monotonic() - began) < seconds:
        crowd.churn(max(0, round((passed + 1) * rate) - (crowd.changes - written)))
        if passed >= looks * between:
            looks += 1
            for host, sampler in samplers.items():
                lags = watches[host].lags.take_ms(time.time())
                samples[host.name].append(sampler.look(lags=lags, peers=crowd.count + len(watches)))
        if look_inside and passed >= inside_looks * seconds / LOOKS_INSIDE:
            inside_looks += 1
            for host in watches:
                os.kill(host.daemon.pid, signal.SIGUSR2)
        time.sleep(max(0.0, began + passed + 1 - time.monotonic()))
    return samples


def _routes(host: Host) -> int:
    return sum(route.get("dev") == "flannel.1" for route in host.routes().values())
