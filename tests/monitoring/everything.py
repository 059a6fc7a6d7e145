"""A metrics page on which every family has a sample: whatever flanpy can tell, told at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from prometheus_client.metrics_core import Metric

from flanpy.config import load
from flanpy.daemon.data_plane import DataPlane
from flanpy.daemon.leasing.store_metrics import store_counts
from flanpy.daemon.looks.filter_counts import filter_counts
from flanpy.daemon.names.counts import names_counts
from flanpy.daemon.wireguard_side import session_counts
from flanpy.docker.watcher import DockerReport
from flanpy.model.address import Family
from flanpy.model.cloud import AWS, CloudStatus, CloudTable
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.histogram import Histogram
from flanpy.model.networks.view import Joined, NamedView
from flanpy.model.ops import Put
from flanpy.model.tuning import HostTuning, NeighbourTable
from flanpy.model.wireguard import SeenPeer, WgPeer
from flanpy.model.world import Policy
from flanpy.names.resolver.answers import Outcome
from flanpy.names.resolver.counts import ResolverCounts
from flanpy.status.board import StatusBoard, StatusSnapshot
from flanpy.status.http.limits import limit_counts
from flanpy.status.metrics.cloud import cloud_counts
from flanpy.status.metrics.page import ScrapeForm, render
from tests.docker.values import running
from tests.fakes.clock import FakeClock
from tests.model.test_named_networks import SHOP
from tests.states import V4
from tests.status.metrics.test_collector import STATS
from tests.status.metrics.test_peers import cut_off, peer, reached
from tests.status.passes import NOW, TWO_PEERS, WELL, conflicting, link, passed, refused

PROBED = reached(
    peer(1),
    cut_off(2),
    round=1,
    packets_sent=4,
    rtt_buckets=MappingProxyType(dict(Histogram().with_one(0.002).cumulative())),
    rtt_sum=0.002,
)


def snapshot() -> StatusSnapshot:
    """All inputs are there, and something of every kind was counted. The device is loopback: that one exists."""
    board = StatusBoard(FakeClock(wall=NOW))
    docker = DockerReport(
        Condition(ConditionType.DOCKER_CONSISTENT, Status.TRUE, "", "", healthy=True), running()
    )
    own = replace(WELL.own, ttl=86_400.0)
    tuning = HostTuning(neighbours=(NeighbourTable(Family.IPV4, 1024),))
    board.note(
        own=own, network=WELL.network, store=WELL.store, reach=PROBED.reach, docker=docker, tuning=tuning
    )
    device = replace(link(), name="lo")
    shop = Joined(SHOP, IPv4Network("10.96.3.0/24"), (IPv4Address("192.0.2.77"),))
    outcome = passed(
        replace(TWO_PEERS, named=NamedView((shop,))),
        desired={device.key: device},
        difference=conflicting((link(), link())),
        ops=(Put(link()),),
        failures=(refused(link()),),
        resync="timer",
        repairs={"route": 1},
        took=0.01,
    )
    board.note_pass(outcome)
    return board.snapshot


SESSION = SeenPeer(
    WgPeer(
        "flannel-wg",
        "hPGDGJ+3WeNBhZnEbLQhVg8sTYVEnZi8bGGLW6CN5zA=",
        IPv4Address("192.0.2.12"),
        51820,
        (IPv4Network("10.50.12.0/24"),),
    ),
    has_endpoint=True,
    handshake=int(NOW) - 20,
    received=5000,
    sent=7000,
)


def more_counts(directory: Path) -> Iterator[Metric]:
    """Those of the etcd session, and of a data plane that was chosen and did not start yet."""
    clock = FakeClock()
    settings = load([f"--run-dir={directory}", "--udp-plane=user"], {}, default_file=directory / "none.toml")
    plane = DataPlane(
        settings, clock=clock, on_down=lambda: None, on_refit=lambda: None, note=lambda _text: None
    )
    plane.fit(Policy("node-0"), replace(V4, backend_type="udp"))
    dropped = filter_counts([(Family.IPV4, "strangers", 5)])
    cloud = CloudStatus(
        AWS,
        tables=(CloudTable("rtb-1", (), 2, 50),),
        looked_at=0.0,
        calls=MappingProxyType({("ec2:CreateRoute", "ok"): 1}),
        changes=MappingProxyType({"create": 1}),
    )
    asked = names_counts({"shop": 3}, 2, ResolverCounts().after(Outcome.OWN, 0.0002))
    return chain(
        store_counts(STATS),
        plane.counts(),
        dropped,
        limit_counts(),
        cloud_counts(cloud, now=1.0),
        asked,
        session_counts([SESSION], NOW),
    )


def page(directory: Path, accept: str = "") -> str:
    return render(snapshot(), tuple(more_counts(directory)), ScrapeForm(accept)).body.decode()


def families(directory: Path) -> set[str]:
    """The names of all families, and what their series are called."""
    found = re.findall(r"(?m)^# TYPE (\w+) (\w+)$", page(directory))
    plain = {name for name, _ in found}
    histograms = {name for name, kind in found if kind == "histogram"}
    return plain | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
