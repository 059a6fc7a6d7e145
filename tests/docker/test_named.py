"""Named networks in Docker: the recipe of each, and the action that it needs. Pure."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from flanpy.docker.named import LABEL, plan_gone, plan_one, recipe
from flanpy.docker.network import NetworkStep
from flanpy.model.networks.view import Joined
from tests.model.test_named_networks import SHOP

ON_SHOP = Joined(SHOP, IPv4Network("10.96.3.0/24"))
ON_BOTH = replace(ON_SHOP, network=replace(SHOP, subnet6=IPv6Network("fd00:96::/64")))


def document(joined: Joined = ON_SHOP, **changes: Any) -> dict[str, Any]:
    """Docker's document of the network as our recipe makes it."""
    made = recipe(joined)
    return {
        "Id": "d0c",
        "Name": made.name,
        "Internal": made.internal,
        "Labels": dict(made.labels),
        "Options": dict(made.options),
        "IPAM": {
            "Config": [
                {"Subnet": subnet, "IPRange": slice_, "Gateway": gateway}
                for (subnet, gateway), slice_ in zip(made.pools, made.slices, strict=True)
            ]
        },
        **changes,
    }


def test_network_has_the_whole_subnet_and_gives_out_this_hosts_slice() -> None:
    made = recipe(ON_SHOP)
    assert made.pools == (("10.96.0.0/16", "10.96.3.1"),)
    assert (made.slices, made.kept_free, made.internal) == (("10.96.3.0/24",), (("10.96.3.0",),), False)
    assert dict(made.options) == {
        "com.docker.network.driver.mtu": "1450",
        "com.docker.network.bridge.name": "fb-10001",
    }
    assert recipe(Joined(SHOP, IPv4Network("10.96.0.0/24"))).kept_free == ((),)


def test_ipv6_slice_has_the_place_of_the_ipv4_one() -> None:
    made = recipe(ON_BOTH)
    assert made.pools == (("10.96.0.0/16", "10.96.3.1"), ("fd00:96::/64", "fd00:96::300:0:0:1"))
    assert made.slices == ("10.96.3.0/24", "fd00:96:0:0:300::/72")
    assert made.kept_free == (("10.96.3.0",), ("fd00:96:0:0:300::",))


def test_network_is_made_where_there_is_none_and_kept_where_it_is_right() -> None:
    assert plan_one(ON_SHOP, None, (), bridged=False).step is NetworkStep.CREATE
    assert plan_one(ON_SHOP, document(), (), bridged=True).step is NetworkStep.KEEP


WRONG = [
    document(Internal=True),
    document(Labels={LABEL: "older"}),
    document(Options={**dict(recipe(ON_SHOP).options), "com.docker.network.driver.mtu": "1500"}),
    document(Joined(SHOP, IPv4Network("10.96.4.0/24"))),
    document(Joined(replace(SHOP, vni=10_002), ON_SHOP.slice)),
    document(ON_BOTH),
]


@pytest.mark.parametrize("present", WRONG)
def test_network_that_is_wrong_is_made_anew_unless_containers_have_it(present: dict[str, Any]) -> None:
    assert plan_one(ON_SHOP, present, (), bridged=True).step is NetworkStep.RECREATE
    held = plan_one(ON_SHOP, present, ("db", "web"), bridged=True)
    assert held.step is NetworkStep.HELD
    assert "held by db, web" in held.trouble
    assert len(held.differences) == 1 or "gateway" in str(held.differences)


def test_network_without_its_bridge_is_made_anew_or_asks_for_a_restart_of_docker() -> None:
    assert plan_one(ON_SHOP, document(), (), bridged=False).step is NetworkStep.RECREATE
    assert "restart of Docker" in plan_one(ON_SHOP, document(), ("db",), bridged=False).trouble


def test_network_of_somebody_else_is_named_and_left() -> None:
    step = plan_one(ON_SHOP, document(Labels={}), (), bridged=True)
    assert step.step is NetworkStep.TAKEN
    assert "not flanpy" in step.trouble


def test_network_that_is_defined_no_more_goes_unless_containers_have_it() -> None:
    assert plan_gone(document(), ()).step is NetworkStep.REMOVE
    assert plan_gone(document(), ()).trouble == ""
    assert "is defined no more; held by db" in plan_gone(document(), ("db",)).trouble


def test_what_docker_refuses_is_the_trouble_of_its_network() -> None:
    step = plan_one(ON_SHOP, None, (), bridged=False)
    assert step.trouble == ""
    refused = replace(step, refused="Docker refused: Pool overlaps")
    assert refused.trouble == f"network '{SHOP.name}': Docker refused: Pool overlaps"
