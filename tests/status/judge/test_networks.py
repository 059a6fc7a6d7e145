"""The condition of named networks, and their metrics: each fault by its reason, and what is well."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.docker.watcher import DockerReport
from flanpy.errors import KernelError
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.networks.view import Joined, KeptOut, NamedView
from flanpy.model.objects import LinkUp
from flanpy.model.ops import OpFailure, Put
from flanpy.status.inputs import Inputs
from flanpy.status.judge.networks import ready
from flanpy.status.metrics.networks import networks
from tests.docker.values import running
from tests.model.test_named_networks import SHOP
from tests.status.passes import TWO_PEERS, last

ON_SHOP = Joined(SHOP, IPv4Network("10.96.3.0/24"), (IPv4Address("192.0.2.77"),))
NAMED = replace(TWO_PEERS, named=NamedView((ON_SHOP,)))
MADE = replace(NAMED, facts=replace(NAMED.facts, bridges=frozenset({ON_SHOP.bridge})))
WIDE = replace(MADE, named=NamedView((replace(ON_SHOP, network=replace(SHOP, mtu=1451)),)))
RUNS = DockerReport(Condition(ConditionType.DOCKER_CONSISTENT, Status.TRUE, "", "", healthy=True), running())
LOST = OpFailure(Put(LinkUp(ON_SHOP.port)), KernelError("no such device", errno=19))

CASES = [
    (Inputs(), "NotPlanned", True, ""),
    (last(), "NotAsked", True, "no named network"),
    (last(world=MADE), "Ready", True, "1 named network of this host"),
    (last(world=NAMED), "NoDocker", True, "shop will be there"),
    (replace(last(world=NAMED), docker=RUNS), "NotInDocker", False, "Docker does not have shop"),
    (replace(last(world=MADE), docker=RUNS), "Ready", True, ""),
    (last(world=WIDE), "TooNarrow", False, "network 'shop' has MTU 1451, and eth0 has room for 1450"),
    (last(world=MADE, failures=(LOST,)), "Refused", False, "fv-10001: no such device"),
    (replace(last(world=MADE), kept_out=KeptOut({"lab": "subnet"}, {})), "KeptOut", False, "'lab': subnet"),
    (
        replace(
            last(world=NAMED),
            docker=RUNS,
            kept_out=KeptOut(by_docker={"shop": "Docker refused: no", "old": "x"}),
        ),
        "RefusedByDocker",
        False,
        "network 'shop': Docker refused: no",
    ),
    (
        replace(last(world=MADE), kept_out=KeptOut(by_docker={"old": "of a network that is gone"})),
        "Ready",
        True,
        "",
    ),
    (replace(last(), kept_out=KeptOut({}, {"lab": "none", "web": "none"})), "NoSlice", False, "and 1 more"),
]


@pytest.mark.parametrize(("inputs", "reason", "healthy", "part"), CASES)
def test_networks_are_judged_by_the_first_fault(
    inputs: Inputs, reason: str, healthy: bool, part: str
) -> None:
    found = ready(inputs, 0.0)
    assert (found.reason, found.healthy) == (reason, healthy)
    assert part in found.message
    assert bool(found.cure) is not healthy


def test_addresses_that_no_container_has_are_counted() -> None:
    whole = replace(last(world=MADE), containers={ON_SHOP.port: 4})
    found = {family.name: [(one.labels, one.value) for one in family.samples] for family in networks(whole)}
    shop = {"network": "shop"}
    assert found == {
        "flanpy_networks": [({}, 1.0)],
        "flanpy_network_members": [(shop, 1.0)],
        "flanpy_network_addresses": [(shop, 254.0)],
        "flanpy_network_addresses_free": [(shop, 250.0)],
    }
