"""Admission: which leases of others may touch the kernel. Each refusal names both sides."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flanpy.backend import choice
from flanpy.model.address import Mac
from flanpy.model.facts import HostFacts, Underlay
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey, VxlanData
from flanpy.model.network.config import parse_network_config
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import FdbEntry
from flanpy.model.world import Policy, World
from flanpy.plan.admission import Admission, admit
from flanpy.plan.refusal import Reason
from flanpy.store.schema import decode_key
from tests.states import V4, world


def network(text: str = "10.50.0.0/16", **more: Any) -> NetworkConfig:
    return parse_network_config(json.dumps({"Network": text, "Backend": {"Type": "vxlan"}, **more}))


def lease(key: str, number: int, **changes: Any) -> Lease:
    """Host `number`'s lease; its number is its age, too."""
    parsed = decode_key(key)
    assert isinstance(parsed, SubnetKey), parsed
    mac = VxlanData(Mac(bytes((2, 0, 0, 0, 0, number))), 1)
    six = parsed.subnet6 is not None
    whole = LeaseRecord(
        IPv4Address(0x0A630000 + number),
        IPv6Address(f"fd99::{number}") if six else None,
        "vxlan",
        mac,
        mac if six else None,
        f"node-{number}",
    )
    lease_id = changes.pop("lease_id", number)
    return Lease(parsed, replace(whole, **changes), lease_id, number, number)


OWN = lease("10.50.1.0-24", 200, node_id="me")
UNDERLAY = Underlay("eth0", 2, 1500, IPv4Address("10.99.0.200"), None, "default route")


def admitted(*leases: Lease, config: NetworkConfig | None = None, own: Lease | None = OWN) -> Admission:
    view = LeaseView(leases={str(one.key): one for one in leases}, listings=1, stale=False)
    facts = HostFacts(underlay=UNDERLAY)
    return admit(World(Policy("me"), config or network(), own, view=view, facts=facts))


def verdicts(admission: Admission) -> list[tuple[str, Reason]]:
    return [(str(item.lease.key), item.reason) for item in (*admission.rejected, *admission.reserved)]


def test_admission_lets_peers_through_as_the_same_objects_and_leaves_out_our_own() -> None:
    peer = lease("10.50.2.0-24", 2)
    admission = admitted(OWN, peer)
    assert admission.peers == (peer,)
    assert admission.peers[0] is peer
    assert verdicts(admission) == []


def test_admission_leaves_out_our_own_lease_when_flannel_wrote_it() -> None:
    flannels = replace(OWN, record=replace(OWN.record, node_id=""))
    assert admitted(flannels, own=flannels) == Admission()


def test_admission_lets_nobody_in_when_there_is_no_network() -> None:
    assert admit(World(Policy("me"))) == Admission()


@pytest.mark.parametrize("key", ["10.77.0.0-16", "10.0.0.0-8", "0.0.0.0-0", "10.50.0.0-16", "192.0.2.0-24"])
def test_p16_lease_outside_the_network_is_refused_and_touches_no_other(key: str) -> None:
    peer = lease("10.50.2.0-24", 2)
    admission = admitted(lease(key, 1), peer)
    assert admission.peers == (peer,)
    assert verdicts(admission) == [(key, Reason.OUTSIDE_NETWORK)]


def test_p16_younger_of_two_overlapping_leases_is_refused_and_both_are_named() -> None:
    older, younger = lease("10.50.4.0-23", 2), lease("10.50.5.0-24", 3)
    admission = admitted(younger, older)
    assert admission.peers == (older,)
    assert verdicts(admission) == [("10.50.5.0-24", Reason.OVERLAPS_OLDER)]
    assert "node-2" in admission.rejected[0].message
    assert "node-3" in admission.rejected[0].message


def test_p26_lease_that_overlaps_our_own_is_refused_even_if_it_is_older() -> None:
    assert verdicts(admitted(lease("10.50.0.0-23", 1))) == [("10.50.0.0-23", Reason.OVERLAPS_OWN)]


def test_lease_of_another_length_is_admitted_when_it_overlaps_nothing() -> None:
    assert len(admitted(lease("10.50.8.0-22", 1), lease("10.50.12.128-25", 2)).peers) == 2


def test_p21_lease_with_our_public_ip_is_refused_and_both_nodes_are_named() -> None:
    admission = admitted(lease("10.50.2.0-24", 2, public_ip=IPv4Address("10.99.0.200")))
    assert verdicts(admission) == [("10.50.2.0-24", Reason.DUPLICATE_PUBLIC_IP)]
    assert "node-2" in admission.rejected[0].message
    assert "me" in admission.rejected[0].message


def test_p16_lease_that_covers_the_underlay_is_refused_when_the_network_holds_it() -> None:
    wide = network("10.0.0.0/8")
    admission = admitted(lease("10.99.0.0-24", 1, public_ip=IPv4Address("192.0.2.1")), config=wide)
    assert verdicts(admission) == [("10.99.0.0-24", Reason.COVERS_UNDERLAY)]


def test_p16_lease_that_covers_a_peers_public_ip_is_refused_when_it_is_younger() -> None:
    wide = network("10.0.0.0/8")
    peer = lease("10.50.2.0-24", 2, public_ip=IPv4Address("10.98.0.2"))
    admission = admitted(peer, lease("10.98.0.0-24", 3), config=wide)
    assert admission.peers == (peer,)
    assert verdicts(admission) == [("10.98.0.0-24", Reason.COVERS_UNDERLAY)]


@pytest.mark.parametrize("address", ["10.50.2.7", "10.50.1.7", "10.50.3.7"])
def test_p21_lease_whose_public_ip_lies_in_a_subnet_is_refused_and_the_subnets_owner_is_not(
    address: str,
) -> None:
    peer = lease("10.50.3.0-24", 2)
    admission = admitted(peer, lease("10.50.2.0-24", 3, public_ip=IPv4Address(address)))
    assert admission.peers == (peer,)
    assert verdicts(admission) == [("10.50.2.0-24", Reason.PUBLIC_IP_INSIDE_SUBNET)]


def test_p21_younger_of_two_leases_with_one_vtep_mac_is_refused_and_both_are_named() -> None:
    older = lease("10.50.3.0-24", 2)
    younger = lease("10.50.2.0-24", 3, backend_data=older.record.backend_data)
    admission = admitted(younger, older)
    assert admission.peers == (older,)
    assert verdicts(admission) == [("10.50.2.0-24", Reason.DUPLICATE_VTEP_MAC)]
    for part in ("node-2", "node-3", "10.50.3.0-24", "02:00:00:00:00:02"):
        assert part in admission.rejected[0].message


def test_lease_that_a_flannel_host_left_behind_keeps_its_new_one_from_nothing() -> None:
    """Its address changed; its MAC, and with it the one FDB entry for both, did not."""
    left = lease("10.50.3.0-24", 2, node_id="")
    now = lease("10.50.2.0-24", 3, node_id="", backend_data=left.record.backend_data)
    assert admitted(now, left).peers == (left, now)
    planned = choice.plan(world(V4, left, now), (left, now)) or {}
    entries = [obj for obj in planned.values() if isinstance(obj, FdbEntry)]
    assert [entry.destination for entry in entries] == [now.record.public_ip]


@pytest.mark.parametrize("age", [1, 90], ids=["older", "younger"])
@pytest.mark.parametrize("node_id", ["rogue", ""])
def test_lease_without_a_node_never_takes_a_mac_from_one_with(age: int, node_id: str) -> None:
    """Else one put sends a host's packets elsewhere, without touching that host's lease."""
    host = lease("10.50.2.0-24", 2)
    rogue = replace(lease("10.50.240.0-24", 240, node_id=node_id), create_revision=age)
    rogue = replace(rogue, record=replace(rogue.record, backend_data=host.record.backend_data))
    admission = admitted(host, rogue)
    kept = rogue if node_id and age == 1 else host
    assert admission.peers == (kept,)
    (refused,) = admission.rejected
    assert refused.reason is Reason.DUPLICATE_VTEP_MAC
    assert str(kept.key) in refused.message
    assert "02:00:00:00:00:02" in refused.message
    assert ("names no node" in refused.message) is not bool(node_id)


def test_subnet_of_a_lease_that_lost_its_mac_is_free_for_the_next() -> None:
    loser = lease("10.50.5.0-24", 1, node_id="")
    named = lease("10.50.2.0-24", 2, backend_data=loser.record.backend_data)
    heir = lease("10.50.5.0-25", 5)
    admission = admitted(loser, named, heir)
    assert admission.peers == (named, heir)
    assert [one.lease for one in admission.rejected] == [loser]


def test_p21_lease_with_our_vtep_mac_is_refused_even_if_it_is_older() -> None:
    peer = lease("10.50.2.0-24", 2, backend_data=OWN.record.backend_data)
    admission = admitted(peer)
    assert verdicts(admission) == [("10.50.2.0-24", Reason.DUPLICATE_VTEP_MAC)]
    assert "node-2" in admission.rejected[0].message
    assert "ours (node me)" in admission.rejected[0].message


def test_leases_of_one_host_may_share_its_mac_for_one_fdb_entry_leads_to_both() -> None:
    one = lease("10.50.2.0-24", 2)
    other = replace(one, key=SubnetKey(IPv4Network("10.50.3.0/24")), create_revision=3)
    assert admitted(one, other).peers == (one, other)


def test_shared_vtep_mac_of_one_family_leaves_the_other_family_alone() -> None:
    dual = network(EnableIPv6=True, IPv6Network="fd50::/48")
    older = lease("10.50.3.0-24&fd50:0:0:3::-64", 2)
    younger = lease("10.50.2.0-24&fd50:0:0:2::-64", 3, backend_data6=older.record.backend_data6)
    admission = admitted(older, younger, config=dual)
    assert [str(peer.key) for peer in admission.peers] == ["10.50.3.0-24&fd50:0:0:3::-64", "10.50.2.0-24"]
    assert verdicts(admission) == [("10.50.2.0-24&fd50:0:0:2::-64", Reason.DUPLICATE_VTEP_MAC)]


def test_shared_vtep_mac_does_not_matter_when_the_network_leads_nowhere() -> None:
    alloc = replace(network(), backend_type="alloc")
    older = lease("10.50.3.0-24", 2)
    assert (
        len(
            admitted(
                older, lease("10.50.2.0-24", 3, backend_data=older.record.backend_data), config=alloc
            ).peers
        )
        == 2
    )


@pytest.mark.parametrize("kind", ["host-gw", ""])
def test_lease_of_another_backend_is_refused(kind: str) -> None:
    assert verdicts(admitted(lease("10.50.2.0-24", 2, backend_type=kind, backend_data=None))) == [
        ("10.50.2.0-24", Reason.OTHER_BACKEND)
    ]


def test_p29_reservation_that_nobody_took_up_is_no_fault() -> None:
    reserved = lease("10.50.2.0-24", 2, backend_type="", backend_data=None, lease_id=0)
    assert verdicts(admitted(reserved)) == [("10.50.2.0-24", Reason.RESERVED)]
    assert admitted(reserved).rejected == ()


def test_p29_pinned_lease_is_a_peer_when_its_host_uses_it() -> None:
    pinned = lease("10.50.2.0-24", 2, lease_id=0)
    assert admitted(pinned).peers == (pinned,)


def test_p16_dual_stack_lease_in_an_ipv4_network_is_cut_to_its_ipv4_part() -> None:
    admission = admitted(lease("10.50.2.0-24&fd50:0:0:2::-64", 2))
    (peer,) = admission.peers
    assert peer.key == SubnetKey(IPv4Network("10.50.2.0/24"))
    assert peer.record.public_ip6 is None
    assert peer.record.backend_data6 is None
    assert verdicts(admission) == []


def test_lease_without_a_family_of_the_network_is_refused() -> None:
    assert verdicts(admitted(lease("fd50:0:0:2::-64", 2))) == [("fd50:0:0:2::-64", Reason.NO_COMMON_FAMILY)]


def test_bad_part_of_a_dual_stack_lease_is_refused_and_the_good_one_admitted() -> None:
    dual = network(EnableIPv6=True, IPv6Network="fd50::/48")
    admission = admitted(lease("10.50.2.0-24&fd51:0:0:2::-64", 2), config=dual)
    assert [str(peer.key) for peer in admission.peers] == ["10.50.2.0-24"]
    assert verdicts(admission) == [("10.50.2.0-24&fd51:0:0:2::-64", Reason.OUTSIDE_NETWORK)]


def test_part_without_public_ip_or_mac_of_its_family_is_refused() -> None:
    dual = network(EnableIPv6=True, IPv6Network="fd50::/48")
    admission = admitted(
        lease("10.50.2.0-24&fd50:0:0:2::-64", 2, public_ip6=None),
        lease("10.50.3.0-24&fd50:0:0:3::-64", 3, backend_data6=None),
        config=dual,
    )
    assert [reason for _, reason in verdicts(admission)] == [Reason.NO_PUBLIC_IP, Reason.NO_BACKEND_DATA]
    assert len(admission.peers) == 2


_keys = st.builds(lambda length, base: IPv4Network((base >> (32 - length) << (32 - length), length)),
                  st.integers(8, 30), st.integers(0x0A320000, 0x0A32FFFF))  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(_keys, st.integers(1, 99)), max_size=25))
def test_admitted_subnets_never_overlap_and_lie_in_the_network_whatever_the_leases(
    drawn: list[tuple[IPv4Network, int]],
) -> None:
    leases = [
        replace(lease(f"{subnet.network_address}-{subnet.prefixlen}", number), create_revision=age)
        for age, (subnet, number) in enumerate(drawn, start=1)
    ]
    admission = admitted(*leases)
    subnets = [peer.key.subnet for peer in admission.peers if peer.key.subnet is not None]
    assert OWN.key.subnet is not None
    everything = [*subnets, OWN.key.subnet]
    assert not [(a, b) for i, a in enumerate(everything) for b in everything[:i] if a.overlaps(b)]
    assert all(subnet.subnet_of(IPv4Network("10.50.0.0/16")) for subnet in subnets)
    assert len(admission.peers) + len(admission.rejected) == len({str(one.key) for one in leases})
