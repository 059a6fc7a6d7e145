"""Condition `Encrypted`: who has no session, sends from elsewhere or hears in clear is named, with address and port."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Any

import pytest

from flanpy.model.condition import Condition, Status
from flanpy.model.encryption import Encryption
from flanpy.model.lease import Lease, WireguardData
from flanpy.model.reach import Diagnosis, PeerReach, Reach, ReachReport, Trouble
from flanpy.model.sessions import SessionFaults
from flanpy.model.wireguard import WgPeer, written
from flanpy.model.world import World
from flanpy.status.inputs import Inputs
from flanpy.status.judge import encryption
from flanpy.status.judge.encryption import encrypted
from tests.states import as_backend, crowd, lease, moving, view
from tests.status.passes import NOW, WELL, desired, passed


def _key(number: int) -> str:
    return written(bytes([number + 1] * 32))


def _with_key(one: Lease, number: int) -> Lease:
    return replace(one, record=replace(one.record, backend_data=WireguardData(_key(number), 51820)))


def _world(**options: object) -> World:
    """Two peers and this host, all on wireguard."""
    world = as_backend("wireguard", crowd(2))
    assert world.network is not None
    assert world.own is not None
    leases = [_with_key(one, number) for number, one in enumerate(world.view.leases.values())]
    network = replace(world.network, backend_options=MappingProxyType(options))
    policy = replace(world.policy, wireguard_key=_key(0))
    return replace(world, network=network, policy=policy, own=leases[0], view=view(leases))


WORLD = _world()


def _peer(number: int, world: World = WORLD) -> WgPeer:
    key = _key(number)
    return next(one for one in desired(world).values() if isinstance(one, WgPeer) and one.public_key == key)


def _judged(world: World = WORLD, reach: ReachReport | None = None, **ailing: Any) -> Condition:
    inputs = replace(WELL, last=passed(world), sessions=SessionFaults(**ailing), reach=reach)
    return encrypted(inputs, NOW)


ELSEWHERE = replace(_peer(2), endpoint=IPv4Address("198.51.100.7"), port=4000)


def test_well_is_said_of_sessions_and_of_a_backend_that_does_not_encrypt() -> None:
    assert encrypted(Inputs(), NOW).reason == "NotPlanned"
    clear = encrypted(WELL, NOW)
    assert (clear.status, clear.reason, clear.healthy) == (Status.FALSE, "NotAsked", True)
    found = _judged()
    assert (found.status, found.reason, found.healthy) == (Status.TRUE, "Encrypted", True)


def test_overdue_handshake_names_peer_endpoint_and_port_of_both_ends() -> None:
    found = _judged(overdue=(_peer(1),))
    assert (found.status, found.reason, found.healthy) == (Status.FALSE, "HandshakeOverdue", False)
    assert "node-1 at 192.0.2.11:51820" in found.message
    assert "UDP port 51820 " in found.cure
    other = _judged(_world(listenport=51999), overdue=(_peer(1, _world(listenport=51999)),))
    assert "UDP port 51820, 51999 " in other.cure


def test_all_that_are_overdue_are_evidence() -> None:
    found = _judged(overdue=(_peer(2), _peer(1)))
    assert [line.partition(" ")[0] for line in found.evidence] == ["node-1", "node-2"]


@pytest.mark.parametrize("trouble", Trouble)
def test_host_that_is_down_is_for_the_probes_to_tell(trouble: Trouble) -> None:
    key = lease(1).key
    peer = PeerReach(key, "node-1", None, None, Reach.UNREACHABLE, Diagnosis(trouble))
    found = _judged(reach=ReachReport(MappingProxyType({key: peer}), 1), overdue=(_peer(1),))
    assert found.healthy is (trouble in {Trouble.PEER_DOWN, Trouble.NO_UNDERLAY})


def test_peer_that_sends_from_elsewhere_is_named_with_both_addresses() -> None:
    found = _judged(strayed=(ELSEWHERE,))
    assert (found.reason, found.healthy) == ("EndpointDiffers", False)
    assert "node-2 sends from 198.51.100.7:4000, and its lease says 192.0.2.12:51820" in found.message
    assert "PersistentKeepaliveInterval" in found.cure


def test_peer_that_sends_from_elsewhere_is_well_where_keepalives_hold_its_session() -> None:
    kept = _world(persistentkeepaliveinterval=25)
    roams = replace(ELSEWHERE, keepalive=25)
    assert _judged(kept, strayed=(roams,)).healthy


def test_clock_that_was_set_back_explains_the_rest() -> None:
    found = _judged(ahead=(_peer(1),), latest=int(NOW) + 3600, overdue=(_peer(1),), strayed=(ELSEWHERE,))
    assert (found.reason, found.healthy) == ("ClockSetBack", False)
    assert "node-1" in found.message
    assert found.evidence == ("the latest handshake was at 2023-11-14 23:13:20 UTC",)


def test_peer_without_a_lease_is_nobodys_fault() -> None:
    gone = replace(_peer(1), public_key=_key(77))
    assert _judged(overdue=(gone,), strayed=(gone,), ahead=(gone,)).healthy


def test_peers_that_still_hear_in_clear_are_named() -> None:
    found = _judged(moving(crowd(2), WORLD, 2))
    assert (found.status, found.reason, found.healthy) == (Status.FALSE, "Mixed", True)
    assert "in clear to node-2:" in found.message


@pytest.mark.parametrize("asked", [Encryption.ON, Encryption.REQUIRED])
def test_network_in_clear_is_a_fault_where_the_host_is_to_encrypt(asked: Encryption) -> None:
    clear = crowd(2)
    assert _judged(clear).healthy
    found = _judged(replace(clear, policy=replace(clear.policy, encryption=asked)))
    assert (found.reason, found.healthy) == ("InClear", False)
    assert f"encryption is {asked.value} here, and the network's backend is vxlan" in found.message
    assert "network set --encrypt" in found.cure


def test_every_reason_has_a_test() -> None:
    written_down = set(re.findall(r'(?:good|bad|unmeasured)\(_KIND, "(\w+)"', inspect.getsource(encryption)))
    assert written_down == {
        "NotPlanned", "NotAsked", "InClear", "Encrypted", "Mixed", "HandshakeOverdue", "EndpointDiffers",
        "ClockSetBack",
    }  # fmt: skip
