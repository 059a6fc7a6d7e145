"""The network's backend changes: what our lease says when, what is kept how long, and who is believed meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flanpy.model.condition import ConditionType
from flanpy.model.encryption import Encryption
from flanpy.model.objects import Blackhole
from flanpy.plan.moving import AHEAD, GRACE, KNOWN
from tests.daemon.rig import NETWORK, NODE, PREFIX, Rig, make, running
from tests.states import lease

pytestmark = pytest.mark.asyncio

HOST_GW = json.dumps({**json.loads(NETWORK), "Backend": {"Type": "host-gw"}})
SOON = 0.5


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return make(tmp_path)


def _said(rig: Rig) -> str:
    """Return the backend type in our lease in etcd."""
    values = (json.loads(kv.value) for kv in rig.etcd.find(f"{PREFIX}/subnets/"))
    return next(str(value.get("BackendType")) for value in values if value.get("NodeID") == NODE)


def _links(rig: Rig) -> list[object]:
    return [key[1] for key in rig.kernel.objects if key[0] == "link"]


def _shown(rig: Rig, number: int) -> str:
    """Return the backend type of a peer's lease as the loop is told it."""
    return rig.loop.world.view.leases[str(lease(number).key)].record.backend_type


async def test_old_backend_stands_until_every_peer_has_come_along_and_a_breath_longer(rig: Rig) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    async with running(rig):
        rig.configure(HOST_GW)
        await rig.clock.advance(SOON)
        assert _said(rig) == "host-gw"
        await rig.clock.advance(10 * GRACE)
        assert _links(rig) == ["flannel.1"]
        assert "for the leases of node-1" in rig.condition(ConditionType.BACKEND_READY).message
        rig.put_lease(1, "host-gw")
        await rig.clock.advance(GRACE / 2)
        assert _links(rig) == ["flannel.1"]
        assert "for packets under way" in rig.condition(ConditionType.BACKEND_READY).message
        await rig.clock.advance(GRACE)
        assert _links(rig) == []
        assert rig.condition(ConditionType.BACKEND_READY).reason == "Programmed"


async def test_new_backend_is_advertised_only_once_it_stands_here(rig: Rig) -> None:
    rig.configure(HOST_GW)
    async with running(rig):
        assert _said(rig) == "host-gw"
        rig.kernel.fail_next(5)
        rig.configure()
        await rig.clock.advance(0.05)
        assert _said(rig) == "host-gw"
        await rig.clock.advance(5)
        assert _said(rig) == "vxlan"
        assert _links(rig) == ["flannel.1"]


async def test_change_that_is_taken_back_leaves_all_as_it_was(rig: Rig) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    async with running(rig):
        before = dict(rig.kernel.objects)
        rig.configure(HOST_GW)
        await rig.clock.advance(SOON)
        rig.configure()
        await rig.clock.advance(10 * GRACE)
        assert _said(rig) == "vxlan"
        assert rig.kernel.objects == before
        assert rig.loop.world.former is None


async def test_peer_that_is_ahead_of_our_config_is_reached_as_before_for_a_while(rig: Rig) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    async with running(rig):
        rig.put_lease(1, "host-gw")
        await rig.clock.advance(AHEAD / 2)
        assert _shown(rig, 1) == "vxlan"
        await rig.clock.advance(AHEAD)
        assert _shown(rig, 1) == "host-gw"
        assert "is of backend host-gw" in rig.condition(ConditionType.PEER_LEASES_VALID).message


async def test_peer_that_is_ahead_is_believed_once_our_config_agrees(rig: Rig) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    async with running(rig):
        rig.put_lease(1, "host-gw")
        await rig.clock.advance(0.1)
        rig.configure(HOST_GW)
        await rig.clock.advance(0.1)
        assert _shown(rig, 1) == "host-gw"


async def test_outage_of_etcd_during_a_move_keeps_the_old_backend(rig: Rig) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    async with running(rig):
        rig.configure(HOST_GW)
        await rig.clock.advance(SOON)
        rig.session.cut()
        await rig.clock.advance(600)
        assert _links(rig) == ["flannel.1"]
        rig.session.mend()
        rig.put_lease(1, "host-gw")
        await rig.clock.advance(60)
        assert _links(rig) == []


async def test_p15_restart_half_way_goes_on_with_the_move(rig: Rig, tmp_path: Path) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    async with running(rig):
        assert _links(rig) == ["flannel.1"]
    rig.configure(HOST_GW)
    again = make(tmp_path, etcd=rig.etcd)
    again.kernel.objects.update(rig.kernel.objects)
    async with running(again):
        assert _said(again) == "host-gw"
        assert _links(again) == ["flannel.1"]
        again.put_lease(1, "host-gw")
        await again.clock.advance(2 * GRACE)
        assert _links(again) == []


WIREGUARD = json.dumps({**json.loads(NETWORK), "Backend": {"Type": "wireguard"}})
KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="


def _announced(rig: Rig) -> tuple[str, str]:
    """Return backend and announced key of our lease in etcd."""
    values = (json.loads(kv.value) for kv in rig.etcd.find(f"{PREFIX}/subnets/"))
    mine = next(value for value in values if value.get("NodeID") == NODE)
    return mine["BackendType"], mine.get("WireguardKey", "")


async def test_lease_announces_the_key_before_others_send_by_it_and_until_nobody_does(rig: Rig) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    rig.loop.policy_changed(replace(rig.loop.world.policy, wireguard_key=KEY))
    async with running(rig):
        rig.configure(WIREGUARD)
        await rig.clock.advance(KNOWN / 2)
        assert _announced(rig) == ("vxlan", KEY)
        await rig.clock.advance(KNOWN)
        assert _announced(rig) == ("wireguard", "")
        rig.configure()
        await rig.clock.advance(SOON)
        assert _announced(rig) == ("vxlan", KEY)
        await rig.clock.advance(GRACE + 1)
        assert _announced(rig) == ("vxlan", "")


async def test_host_without_a_key_stays_on_the_backend_that_it_has(rig: Rig) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    async with running(rig):
        rig.configure(WIREGUARD)
        await rig.clock.advance(10 * KNOWN)
        assert _announced(rig) == ("vxlan", "")
        assert _links(rig) == ["flannel.1"]


async def test_required_encryption_refuses_a_network_in_clear_and_keeps_the_one_in_force(rig: Rig) -> None:
    policy = replace(rig.loop.world.policy, wireguard_key=KEY, encryption=Encryption.REQUIRED)
    rig.loop.policy_changed(policy)
    rig.configure(WIREGUARD)
    async with running(rig):
        await rig.clock.advance(SOON)
        rig.configure()
        await rig.clock.advance(SOON)
        assert "encryption=required" in rig.condition(ConditionType.NETWORK_CONFIG_VALID).message
        assert _announced(rig) == ("wireguard", "")
        routes = [obj for obj in rig.kernel.objects.values() if isinstance(obj, Blackhole)]
        assert [str(route.destination) for route in routes] == ["10.50.0.0/16"]
