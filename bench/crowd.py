"""Part `crowd`: fifty daemons started at one instant, with subnets for sixty."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable

from bench.figures import Figure, figure
from bench.run import Run
from integration.etcd.api import ETCD_PREFIX
from integration.lab import Lab, LabError, wait_until

HOSTS = 50
SUBNETS = 60
CONFIG = {
    "Network": "10.50.0.0/18",
    "SubnetMin": "10.50.1.0",
    "SubnetMax": f"10.50.{SUBNETS}.0",
    "Backend": {"Type": "vxlan"},
}
DEADLINE_S = 180.0


def measure(run: Run) -> Iterable[Figure]:
    rows = [_once() for _ in run.turns(f"crowd: {HOSTS} daemons at one instant", run.pick(3, 1))]
    yield figure(
        "crowd.lost", f"{HOSTS} daemons at once, {SUBNETS} subnets: without a subnet of their own", "",
        [row["lost"] for row in rows], at_most=0, flannel="2 of 20",
        note="Hosts of the lab on one switch and one etcd. Lost: hosts whose daemon ended, has no lease, or has one "
        "that overlaps another's, once all are ready.",
    )  # fmt: skip
    yield figure("crowd.ended", "  daemons that ended", "", [row["ended"] for row in rows], at_most=0)
    yield figure("crowd.leased", "  until every host holds a lease", "s", [row["leased"] for row in rows])
    yield figure(
        "crowd.ready", "  until all are ready, peers programmed", "s", [row["ready"] for row in rows]
    )
    yield figure(
        "crowd.races", "  races for a subnet lost and tried again", "", [row["races"] for row in rows]
    )


def _once() -> dict[str, float]:
    with Lab(hosts=HOSTS) as lab:
        lab.configure(CONFIG)
        began = time.monotonic()
        for host in lab.hosts:
            host.daemon.launch()
        prefix = f"{ETCD_PREFIX}/subnets/"
        _wait(lambda: len(lab.etcd.api.list(prefix)) >= HOSTS, "every host leased")
        leased = time.monotonic() - began
        _wait(lambda: all(host.daemon.is_ready() for host in lab.hosts), "every host ready")
        ready = time.monotonic() - began
        owners: dict[str, set[str]] = {}
        for entry in lab.etcd.api.list(prefix):
            owners.setdefault(entry.value.partition('"PublicIP":"')[2].partition('"')[0], set()).add(
                entry.key
            )
        subnets = [next(iter(owners.get(host.address, {"none"}))) for host in lab.hosts]
        return {
            "lost": HOSTS - len({subnet for subnet in subnets if subnet != "none"}),
            "ended": sum(not host.daemon.running for host in lab.hosts),
            "leased": leased,
            "ready": ready,
            "races": sum(_attempts(host.daemon.events("lease_acquired")) for host in lab.hosts),
        }


def _attempts(lines: list[dict[str, object]]) -> int:
    return sum(int(str(line.get("attempt", 0))) for line in lines)


def _wait(condition: Callable[[], bool], what: str) -> None:
    try:
        wait_until(condition, what, deadline=DEADLINE_S, poll=0.1)
    except LabError as late:  # a figure says how many were lost
        sys.stderr.write(f"{late}\n")
