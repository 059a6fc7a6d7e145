"""Part `latency`: from a lease put in etcd to its peer in the kernel, one at a time and in a burst."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.figures import Figure, figure, percentile
from bench.namespace import python_inside
from bench.overlay import add_peers, overlay, start
from bench.run import Run
from integration.lab import Host, Lab

PEERS = (0, 100, 1000)
BURST = 1000
FREE = 15_000
"""Simulated peers from this number on are put and deleted again."""

_SINGLE = (
    "A real daemon on a host of the lab. From just before the lease is sent to etcd by gRPC (so etcd's own work and "
    "its watch are in it) to the kernel's notification of the last of the peer's neighbour, FDB entry and route, "
    "received on that host by netlink with timestamps of our own. 20 to 40 ms between two leases; deleted again after "
    "each twenty."
)
_BURST = (
    "All put at once, 64 requests under way at a time. From the answer to the last put to the kernel's notification "
    "of the last of the 3,000 objects."
)


def measure(run: Run) -> Iterable[Figure]:
    puts = run.pick(300, 40)
    with overlay() as (lab, host):
        run.say("latency: puts seen by a bare watch, no daemon")
        bare = _inside(lab, host, "floor", puts)
        start(host)
        existing = 0
        for peers in PEERS:
            add_peers(lab, peers - existing, first=existing)
            existing = peers
            run.say(f"latency: {puts} leases, one at a time, among {peers:,} peers")
            found = _inside(lab, host, "single", puts)
            yield from _single(peers, found)
        yield figure("latency.answer", "  etcd's answer to such a put", "ms", found["answer"])
        yield figure(
            "latency.floor", "  its event at a bare Python watch", "ms", [row["event"] for row in bare],
            note="The same puts with no daemon running, seen by nothing but a grpc watch in the putting process.",
        )  # fmt: skip
        lab.etcd.api.delete_prefix("/coreos.com/network/subnets/10.")
    with overlay() as (lab, host):
        start(host)
        yield from _bursts(run, lab, host)


def _single(peers: int, found: dict[str, list[float]]) -> Iterable[Figure]:
    last = found["last"]
    yield figure(
        f"latency.{peers}", f"lease put to peer in the kernel, {peers:,} peers", "ms", last, at_most=3.0,
        flannel="3.1 ms" if peers == 0 else "", note=_SINGLE,
    )  # fmt: skip
    yield figure(f"latency.{peers}.p99", "  99 of 100 within", "ms", percentile(last, 99))
    yield figure(f"latency.{peers}.gone", "  lease deleted to peer gone", "ms", found["gone"])


def _bursts(run: Run, lab: Lab, host: Host) -> Iterable[Figure]:
    rounds = run.pick(7, 2)
    for ops, slug, text in ((0, "puts", "single puts"), (100, "transactions", "10 transactions")):
        rows = [
            _inside(lab, host, "burst", BURST, ops)
            for _ in run.turns(f"latency: burst of {BURST:,} leases, {text}", rounds)
        ]
        yield figure(
            f"burst.{slug}", f"{BURST:,} leases, {text}: last answer to last object", "ms",
            [row["after"] for row in rows], at_most=200, flannel="300 ms" if not ops else "", note=_BURST,
        )  # fmt: skip
        yield figure(
            f"burst.{slug}.whole", "  first put to last object", "ms", [row["whole"] for row in rows]
        )


def _inside(lab: Lab, host: Host, way: str, count: int, ops: int = 0) -> Any:
    endpoint = lab.etcd.members[0].endpoint.removeprefix("http://")
    return python_inside(host.namespace, "latency", way, endpoint, FREE, count, ops)
