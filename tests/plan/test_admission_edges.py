"""The edges of admission: the first and last address of a range, families one by one, whose lease is whose."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest

from flanpy.model.facts import HostFacts
from flanpy.model.lease import Lease, LeaseRecord, SubnetKey
from flanpy.model.world import Former
from flanpy.plan.admission import admit, by_age, is_own, lease_types
from flanpy.plan.refusal import Reason
from tests.states import DUAL, FACTS, UNDERLAY, V4, as_backend, crowd, lease, world


def at(subnet: str, number: int = 1, public: str = "") -> Lease:
    return replace(lease(number, public=public), key=SubnetKey(IPv4Network(subnet)))


def reasons(*leases: Lease, facts: HostFacts = FACTS) -> list[Reason]:
    return [one.reason for one in admit(world(V4, *leases, facts=facts)).rejected]


@pytest.mark.parametrize(
    ("subnet", "found"),
    [
        ("10.50.0.0/24", []),
        ("10.50.255.0/24", []),
        ("10.49.255.0/24", [Reason.OUTSIDE_NETWORK]),
        ("10.51.0.0/24", [Reason.OUTSIDE_NETWORK]),
        ("10.50.0.0/16", [Reason.OUTSIDE_NETWORK]),
        ("10.50.128.0/17", []),
    ],
)
def test_lease_is_admitted_from_the_first_to_the_last_address_of_the_network(
    subnet: str, found: list[Reason]
) -> None:
    assert reasons(at(subnet)) == found


@pytest.mark.parametrize(
    ("address", "covered"),
    [("10.50.19.255", False), ("10.50.20.0", True), ("10.50.20.255", True), ("10.50.21.0", False)],
)
def test_lease_over_our_own_address_is_refused_where_no_route_says_so(address: str, *, covered: bool) -> None:
    facts = HostFacts(replace(UNDERLAY, address=IPv4Address(address)))
    assert reasons(at("10.50.20.0/24"), facts=facts) == ([Reason.COVERS_UNDERLAY] if covered else [])


@pytest.mark.parametrize(
    ("public", "inside"),
    [("10.50.19.255", False), ("10.50.20.0", True), ("10.50.20.255", True), ("10.50.21.0", False)],
)
def test_lease_with_its_public_address_in_its_own_subnet_is_refused(public: str, *, inside: bool) -> None:
    found = reasons(at("10.50.20.0/24", public=public))
    assert found == ([Reason.PUBLIC_IP_INSIDE_SUBNET] if inside else [])


def test_reservation_without_an_address_in_a_family_is_reserved_there() -> None:
    reserved = lease(1, DUAL, reserved=True)
    half = replace(reserved, record=replace(reserved.record, public_ip=None))
    found = admit(world(DUAL, half))
    assert [one.reason for one in found.reserved] == [Reason.RESERVED]
    assert found.rejected == ()
    (peer,) = found.peers
    assert peer.key == SubnetKey(None, reserved.key.subnet6)
    leased = replace(half, lease_id=77)
    assert [one.reason for one in admit(world(DUAL, leased)).rejected] == [Reason.NO_PUBLIC_IP]


def test_family_that_is_refused_leaves_nothing_of_itself_in_the_peer() -> None:
    whole = lease(1, DUAL)
    bad4 = replace(whole, key=replace(whole.key, subnet=IPv4Network("10.77.0.0/24")))
    (peer,) = admit(world(DUAL, bad4)).peers
    assert peer.key == SubnetKey(None, whole.key.subnet6)
    assert (peer.record.public_ip, peer.record.backend_data) == (None, None)
    assert (peer.record.public_ip6, peer.record.backend_data6) == (
        whole.record.public_ip6, whole.record.backend_data6,
    )  # fmt: skip
    bad6 = replace(whole, key=replace(whole.key, subnet6=IPv6Network("fd77::/64")))
    (peer,) = admit(world(DUAL, bad6)).peers
    assert peer.key == SubnetKey(whole.key.subnet)
    assert (peer.record.public_ip6, peer.record.backend_data6) == (None, None)


def test_lease_is_ours_by_node_id_and_flannels_by_subnet_and_address_together() -> None:
    own = lease(0)
    seen = world(V4, own=own)
    unnamed = replace(own, record=replace(own.record, node_id=""))
    assert is_own(own, seen) is True
    assert is_own(replace(own, record=replace(own.record, node_id="node-9")), seen) is False
    assert is_own(unnamed, seen) is True
    assert is_own(replace(unnamed, key=lease(7).key), seen) is False
    assert is_own(replace(unnamed, record=replace(unnamed.record, public_ip=None)), seen) is False
    assert is_own(unnamed, replace(seen, own=None)) is False


def test_types_of_leases_are_those_of_both_backends_of_a_move() -> None:
    former = Former(V4, lease(0).record)
    assert lease_types(V4, None) == frozenset({"vxlan"})
    assert lease_types(replace(V4, backend_type="host-gw"), former) == frozenset({"host-gw", "vxlan"})
    assert lease_types(replace(V4, backend_type="udp"), former) == frozenset({"", "vxlan"})
    assert lease_types(replace(V4, backend_type="aws-vpc"), None) == frozenset({"aws-vpc", ""})
    assert lease_types(replace(V4, backend_type="alloc"), former) is None


def test_leases_of_one_revision_come_in_the_order_of_their_keys() -> None:
    tied = [replace(lease(number), create_revision=5) for number in (3, 1, 2)]
    assert by_age([*tied, lease(9, revision=4)]) == [lease(9, revision=4), tied[1], tied[2], tied[0]]


def test_our_own_mac_is_no_other_hosts() -> None:
    ours = lease(0)
    assert ours.record.backend_data is not None
    thief = replace(lease(1), record=replace(lease(1).record, backend_data=ours.record.backend_data))
    (refused,) = admit(world(V4, thief)).rejected
    assert refused.reason is Reason.DUPLICATE_VTEP_MAC
    nameless = replace(ours, record=replace(ours.record, public_ip=None, backend_data=None))
    assert len(admit(world(V4, lease(1), own=nameless)).peers) == 1


def test_refusal_of_another_backend_names_it() -> None:
    theirs = replace(lease(1), record=LeaseRecord(IPv4Address("192.0.2.11"), node_id="node-1"))
    for record, named in (
        (theirs.record, "udp or alloc"),
        (replace(theirs.record, backend_type="ipip"), "ipip"),
    ):
        (refused,) = admit(world(V4, replace(theirs, record=record))).rejected
        assert refused.reason is Reason.OTHER_BACKEND
        assert f"backend {named}," in refused.message
    reserved = replace(theirs, lease_id=0)
    assert [one.reason for one in admit(world(V4, reserved)).reserved] == [Reason.RESERVED]
    typed = replace(reserved, record=replace(reserved.record, backend_type="ipip"))
    assert [one.reason for one in admit(world(V4, typed)).rejected] == [Reason.OTHER_BACKEND]
    assert admit(as_backend("alloc", crowd(1))).rejected == ()
