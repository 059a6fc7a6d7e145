"""Part `scrape`: what a scrape of the metrics page costs, and what it costs the others.

The whole daemon is asked over TCP, as Prometheus asks. What its event loop misses meanwhile, and whether a reconcile
pass has to wait, is measured in one process, with every peer probed and as many in trouble as have series of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bench.figures import Figure, figure
from bench.overlay import overlay, start
from bench.passes import FACTS, NETWORK, Leases, Memory, Stall, lease, quiet
from bench.run import Run
from flanpy.clock import SystemClock
from flanpy.model.histogram import Histogram
from flanpy.model.lease import Lease
from flanpy.model.reach import Diagnosis, LayerHealth, PathMtu, PeerReach, Reach, ReachReport, Trouble
from flanpy.model.world import Policy
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.status.board import StatusBoard
from flanpy.status.metrics.page import MetricsPage, ScrapeForm
from flanpy.status.metrics.peers import PER_PEER
from integration.etcd.api import NamespaceConnection
from integration.hosts.daemon import METRICS_PORT

PEERS = 1000
AT_MOST_MS = 50.0
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
HEADERS = {"Accept": OPENMETRICS, "Accept-Encoding": "gzip"}


def measure(run: Run) -> Iterable[Figure]:
    """A scrape of the daemon, and what runs beside one."""
    run.say(f"scrape: {PEERS:,} peers, the daemon over TCP")
    yield figure(
        "scrape.1000.took", f"a scrape among {PEERS:,} peers", "ms", _scrapes(run.pick(40, 10)), at_most=AT_MOST_MS,
        note="GET /metrics of a daemon with every peer programmed, from the request to the last byte, OpenMetrics with "
        "gzip on a connection that is kept, as Prometheus does.",
    )  # fmt: skip
    run.say(f"scrape: {PEERS:,} peers, beside a reconciler")
    with quiet():
        beside = asyncio.run(_beside(run.pick(40, 10)))
    note = (
        f"In one process: {PEERS:,} peers with results of probes, {PER_PEER} of them in trouble and so shown."
    )
    yield figure("scrape.1000.made", "  the page alone", "ms", beside.made, at_most=AT_MOST_MS, note=note)
    yield figure("scrape.1000.stall", "  longest the event loop stands still meanwhile", "ms", beside.stalls)
    yield figure("scrape.1000.pass", "  a reconcile pass, one lease changed", "ms", beside.alone)
    yield figure("scrape.1000.pass_beside", "  the same while scraped without a pause", "ms", beside.scraped)


def _scrapes(count: int) -> list[float]:
    took = []
    with overlay(PEERS) as (_lab, host):
        start(host, PEERS)
        connection = NamespaceConnection(host.namespace, "127.0.0.1", METRICS_PORT, timeout=20.0)
        for _ in range(count + 1):
            began = time.perf_counter()
            connection.request("GET", "/metrics", headers=HEADERS)
            connection.getresponse().read()
            took.append((time.perf_counter() - began) * 1000)
        connection.close()
    return took[1:]  # the first one opens the connection


@dataclass
class Beside:
    """All in milliseconds."""

    made: list[float] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    scraped: list[float] = field(default_factory=list)


async def _beside(rounds: int) -> Beside:
    found, board, leases = Beside(), StatusBoard(SystemClock()), Leases(PEERS)
    loop = _reconciler(board, leases)
    await loop.run_pass()
    board.note(network=NETWORK, reach=report(list(leases.now.values())[1:]))
    board.judge_again()  # as the daemon does every few seconds: it reckons what is not reckoned for each pass
    page = MetricsPage(lambda: board.snapshot, lambda: ())
    asked = ScrapeForm(HEADERS["Accept"], HEADERS["Accept-Encoding"])
    await page.answer(asked)
    for turn in range(rounds):
        found.alone.append(await _pass(loop, leases, turn))
        found.made.append(await _timed(page, asked))
        stall = Stall()
        watcher = asyncio.create_task(stall.watch())
        await asyncio.sleep(0)
        await page.answer(asked)
        watcher.cancel()
        found.stalls.append(stall.longest * 1000)
    scraper = asyncio.create_task(_scrape_on(page, asked))
    for turn in range(rounds, 2 * rounds):
        await asyncio.sleep(0.001)  # begin anywhere in a scrape
        found.scraped.append(await _pass(loop, leases, turn))
    scraper.cancel()
    return found


async def _timed(page: MetricsPage, asked: ScrapeForm) -> float:
    began = time.perf_counter()
    await page.answer(asked)
    return (time.perf_counter() - began) * 1000


async def _scrape_on(page: MetricsPage, asked: ScrapeForm) -> None:
    while True:
        await page.answer(asked)


def _reconciler(board: StatusBoard, leases: Leases) -> ReconcileLoop:
    loop = ReconcileLoop(
        Memory(),
        Policy("node-0"),
        clock=SystemClock(),
        resync_interval=60.0,
        on_pass=board.note_pass,
        request_listing=lambda _: None,
    )
    loop.network_changed(NETWORK)
    loop.own_changed(leases.own, confirmed=True)
    loop.facts_changed(FACTS)
    loop.view_changed(leases.view())
    return loop


async def _pass(loop: ReconcileLoop, leases: Leases, turn: int) -> float:
    leases.put(lease(5, mac=turn + 1))
    loop.view_changed(leases.view())
    began = time.perf_counter()
    await loop.run_pass()
    return (time.perf_counter() - began) * 1000


def report(leases: list[Lease]) -> ReachReport:
    """Every peer probed; as many without an answer as have series of their own."""
    fine = LayerHealth(10, 10, 0.0, rtt=0.0004, rtt_least=0.0003, rtt_mean=0.00035, answered_at=time.time())
    dead = Diagnosis(Trouble.PORT_BLOCKED, "the underlay answers, the overlay does not", "open UDP 8472")
    peers = {}
    for number, one in enumerate(leases):
        reached = PeerReach(
            one.key, one.record.node_id, one.record.public_ip, None, reach=Reach.REACHABLE, overlay=fine,
            underlay=fine, mtu=PathMtu(1450, 1450), heard_at=time.time(),
        )  # fmt: skip
        lost = replace(reached, reach=Reach.UNREACHABLE, diagnosis=dead) if number < PER_PEER else reached
        peers[one.key] = lost
    rtt = Histogram().with_one(0.0004)
    return ReachReport(
        MappingProxyType(peers), of=len(peers), probed=16, rtt_buckets=dict(rtt.cumulative()), rtt_sum=rtt.sum
    )
