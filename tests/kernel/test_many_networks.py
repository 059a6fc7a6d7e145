"""Many named networks of many hosts on the real kernel: all objects are taken, and nothing is left to do after them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.backend import choice
from flanpy.model.networks.view import Joined, NamedView
from flanpy.model.ops import Objects, Scope
from flanpy.model.world import World
from flanpy.plan.diff import diff
from flanpy.plan.ownership import is_of_named_network, split
from tests.model.test_named_networks import SHOP
from tests.netns import namespace, opened_kernel
from tests.states import crowd

pytestmark = pytest.mark.netns


def on_many(networks: int, members: int) -> World:
    others = tuple(IPv4Address("172.16.0.1") + number for number in range(members))
    base = int(IPv4Address("10.0.0.0"))
    joined = (
        Joined(
            replace(
                SHOP, name=f"n{number}", id=f"i{number}", vni=10_001 + number,
                subnet=IPv4Network((base + (number << 16), 16)),
            ),
            IPv4Network((base + (number << 16), 24)),
            others,
        )
        for number in range(networks)
    )  # fmt: skip
    return replace(crowd(2), named=NamedView(tuple(joined)))


def wanted(world: World) -> Objects:
    return {key: obj for key, obj in (choice.plan(world, ()) or {}).items() if is_of_named_network(obj)}


@pytest.mark.parametrize(("networks", "members"), [(1, 250), (200, 3)])
@pytest.mark.asyncio
async def test_kernel_takes_all_objects_of_many_networks(networks: int, members: int) -> None:
    world = on_many(networks, members)
    desired = wanted(world)
    assert len(desired) == networks * (3 + members)
    underlay = world.facts.underlay
    assert underlay is not None
    with namespace() as here, opened_kernel(here) as kernel:
        here.ip("link add eth0 type veth peer name far0")
        here.ip("link set eth0 up")
        here.ip(f"addr add {underlay.address}/24 dev eth0")
        scope = Scope(links=frozenset(one.port for one in world.named.networks))
        found = split(await kernel.read_back(scope))
        assert await kernel.apply(diff(desired, found).ops) == ()
        found = split(await kernel.read_back(scope))
        assert [
            op for op in diff(desired, found).ops if "offload" not in str(op) and "Feature" not in str(op)
        ] == []
