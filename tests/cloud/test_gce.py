"""The keeper on GCE: the real client of ours against a server that is held to Google's discovery document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from google.auth.compute_engine import _metadata

from flanpy.clock import SystemClock
from flanpy.cloud.gce import GceRoutes, route_name
from flanpy.cloud.keeper import CloudKeeper, KeeperParts, WantedRoute
from flanpy.cloud.port import Calls
from flanpy.model.cloud import GCE, CloudFault, CloudStatus, CloudWanted
from integration.cloud.gce_end import NETWORK as VPC
from integration.cloud.gce_end import GceEnd
from integration.cloud.gce_http import serve
from tests.cloud.conftest import ADDRESS, NETWORK, Registry

SUBNET, OTHER = IPv4Network("10.50.5.0/24"), IPv4Network("10.50.6.0/24")
WANTED = CloudWanted(GCE, "h1", NETWORK, 24, subnet=SUBNET, settled=True,
                     leased=frozenset({SUBNET}), hosts=("h1",), judges=True)  # fmt: skip


@pytest.fixture
def gce(monkeypatch: pytest.MonkeyPatch) -> Iterator[GceEnd]:
    """A project with one host, h1, 10.99.1.1."""
    end, server = serve()
    here = f"127.0.0.1:{server.server_port}"
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
        monkeypatch.setenv(name, f"{here}/h1")
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", f"{here}/h1")  # it was read when that was imported
    monkeypatch.setenv("GOOGLE_API_USE_CLIENT_CERTIFICATE", "false")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nonexistent")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    end.add_host("h1", str(ADDRESS))
    yield end
    server.shutdown()
    server.server_close()
    assert end.violations == []


class Rig:
    def __init__(self, end: GceEnd, *, interval: float = 0.001) -> None:
        calls = Calls()
        self.registry = Registry()
        self.statuses: list[CloudStatus] = []
        self.keeper = CloudKeeper(
            KeeperParts(GceRoutes(calls, endpoint=end.url), self.registry, calls), clock=SystemClock(),
            interval=interval, publish=self.statuses.append, made=lambda _: None,
        )  # fmt: skip

    async def run(self, wanted: CloudWanted, address: IPv4Address) -> None:
        self.keeper.ask(WantedRoute(wanted, address))
        await self.keeper.run()

    def looked(self, wanted: CloudWanted = WANTED) -> CloudStatus:
        asyncio.run(self.keeper.look(WantedRoute(wanted, ADDRESS)))
        return self.statuses[-1]


def _put(end: GceEnd, subnet: IPv4Network, host: str, name: str = "") -> None:
    """A route as flannel made it."""
    path = f"projects/lab-project/zones/lab-zone/instances/{host}"
    name = name or route_name(subnet)
    end.routes[name] = {
        "name": name, "destRange": str(subnet), "priority": 1000, "tags": [],
        "network": end.link(f"projects/lab-project/global/networks/{VPC}"), "nextHopInstance": end.link(path),
    }  # fmt: skip


def test_host_makes_the_route_that_is_called_after_its_subnet_and_waits_for_the_operation(
    gce: GceEnd,
) -> None:
    status = Rig(gce).looked()
    assert (status.trouble, status.standing) == (None, SUBNET)
    route = gce.routes["flannel-10-50-5-0-24"]
    assert (route["destRange"], route["priority"]) == ("10.50.5.0/24", 1000)
    assert route["nextHopInstance"].endswith("/instances/h1")


def test_route_that_flannel_made_is_kept_and_one_that_leads_elsewhere_replaced(gce: GceEnd) -> None:
    gce.add_host("h2", "10.99.1.2")
    _put(gce, SUBNET, "h1")
    rig = Rig(gce)
    assert rig.looked().standing == SUBNET
    assert gce.operations == {}
    _put(gce, SUBNET, "h2")
    rig.looked()
    assert gce.routes[route_name(SUBNET)]["nextHopInstance"].endswith("/h1")


def test_foreign_route_to_the_same_range_is_told_and_left_alone(gce: GceEnd) -> None:
    gce.add_host("h2", "10.99.1.2")
    _put(gce, SUBNET, "h2", name="by-hand")
    status = Rig(gce).looked()
    assert ([route.name for route in status.plan.foreign], status.standing) == (["by-hand"], None)
    assert set(gce.routes) == {"by-hand"}


def test_stale_routes_go_and_every_page_of_routes_is_read(gce: GceEnd) -> None:
    for n in range(20, 25):
        _put(gce, IPv4Network(f"10.50.{n}.0/24"), "dead")
    rig = Rig(gce)
    rig.looked()
    assert len(gce.routes) == 6
    rig.looked()
    assert set(gce.routes) == {route_name(SUBNET)}
    rig.looked(replace(WANTED, subnet=None, leased=frozenset()))
    assert gce.routes == {}


@pytest.mark.parametrize(
    ("faults", "fault", "words"),
    [
        ({"down": True}, CloudFault.UNREACHABLE, "Service unavailable."),
        ({"per_second": 0.001}, CloudFault.THROTTLED, "rateLimitExceeded: Rate Limit Exceeded"),
        ({"full": True}, CloudFault.FULL, "Quota 'ROUTES' exceeded"),
        (
            {"deny": ["compute.routes.create"]},
            CloudFault.DENIED,
            "Required 'compute.routes.create' permission",
        ),
        ({"garbage": True}, CloudFault.UNREACHABLE, "Expecting value"),
    ],
)
def test_refusal_is_told_in_googles_words(
    gce: GceEnd, faults: dict[str, object], fault: CloudFault, words: str
) -> None:

    gce.trouble.set(json.dumps(faults).encode())
    rig = Rig(gce)
    status = rig.looked()
    assert status.trouble is not None
    assert (status.trouble.fault, words in status.trouble.text) == (fault, True), status.trouble
    gce.trouble.set(b"{}")
    assert rig.looked().standing == SUBNET


def test_instance_that_may_not_forward_is_named_with_the_flag(gce: GceEnd) -> None:
    gce.add_host("h1", str(ADDRESS), forwards=False)
    status = Rig(gce).looked()
    assert status.trouble is not None
    assert (status.trouble.fault, "--can-ip-forward" in status.trouble.text) == (CloudFault.UNFIT, True)
    assert status.standing == SUBNET  # the route is made all the same


def test_fifty_instances_that_start_at_once_do_not_throttle_each_other_out(
    gce: GceEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google has tokens for a fraction of the calls that 50 hosts make at once; each has its route all the same."""
    gce.page = 500  # as Google's are
    most = 50
    subnets = [IPv4Network(f"10.50.{n}.0/24") for n in range(1, most + 1)]
    here = gce.url.partition("//")[2].partition("/")[0]
    runs = []
    for n, subnet in enumerate(subnets, 1):
        gce.add_host(f"n{n}", f"10.99.2.{n}")
        monkeypatch.setenv("GCE_METADATA_HOST", f"{here}/n{n}")
        rig = Rig(gce, interval=180.0)
        wanted = replace(WANTED, node_id=f"n{n}", subnet=subnet, leased=frozenset(subnets))
        runs.append((rig, wanted, IPv4Address(f"10.99.2.{n}")))
    gce.trouble.set(b'{"per_second": 60}')
    asyncio.run(_until_all_stand(runs))
    assert len(gce.routes) == most


async def _until_all_stand(runs: list[tuple[Rig, CloudWanted, IPv4Address]]) -> None:
    tasks = [asyncio.create_task(rig.run(wanted, address)) for rig, wanted, address in runs]
    async with asyncio.timeout(60):
        while any(rig.keeper.status is None or rig.keeper.status.standing is None for rig, _, _ in runs):
            await SystemClock().sleep(0.05)
    for task in tasks:
        task.cancel()
