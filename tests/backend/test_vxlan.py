"""The vxlan backend beyond what the golden plans show: options, MTU, what is advertised, and the VTEP's MAC."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from flanpy.backend.registry import validate_network
from flanpy.backend.vxlan import VxlanBackend, VxlanOptions, read_options, vtep_mac
from flanpy.errors import ConfigError
from flanpy.model.address import Family, Mac
from flanpy.model.facts import HostFacts
from flanpy.model.lease import LeaseRecord, RawData, SubnetKey, VxlanData
from flanpy.model.network.config import parse_network_config
from flanpy.model.objects import Route
from flanpy.model.world import Policy, World
from flanpy.plan.admission import admit
from flanpy.probe.target import targets
from tests.plan.pipeline import desired_of
from tests.states import DUAL, FACTS, POLICY, V4, V6, WORLDS, crowd, lease, moved, options, world

BACKEND = VxlanBackend()


def test_options_default_to_flannels() -> None:
    assert read_options({}) == VxlanOptions(
        vni=1, port=8472, mtu=0, gbp=False, learning=False, direct_routing=False
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"vni": 0}, "Backend.VNI of vxlan is 0"),
        ({"vni": 2**24}, "from 1 to 16777215"),
        ({"vni": "1"}, "Backend.VNI of vxlan is '1': give a whole number"),
        ({"vni": True}, "Backend.VNI of vxlan is True"),
        ({"port": 65536}, "Backend.Port of vxlan is 65536"),
        ({"mtu": -1}, "Backend.MTU of vxlan is -1"),
        ({"mtu": 49}, "Backend.MTU of vxlan is 49: give a whole number from 626 to 65535"),
        ({"gbp": 1}, "Backend.GBP of vxlan is 1: give true or false"),
        ({"directrouting": "yes"}, "Backend.DirectRouting of vxlan is 'yes'"),
    ],
)
def test_bad_option_is_named_with_its_value_and_the_cure(raw: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        BACKEND.validate(raw)


@pytest.mark.parametrize(
    ("network", "mtu"),
    [(V4, 1450), (V6, 1430), (DUAL, 1430), (options(V4, mtu=9000), 8950), (options(DUAL, mtu=1400), 1330)],
)
def test_p19_mtu_of_containers_leaves_room_for_the_widest_outer_header(network: object, mtu: int) -> None:
    assert BACKEND.mtu(crowd(0, network)) == mtu  # type: ignore[arg-type]


def test_p22_ipv6_is_refused_below_its_least_mtu_and_ipv4_has_the_room() -> None:
    wide, narrow = (replace(crowd(1, DUAL), facts=moved(mtu=mtu)) for mtu in (1350, 1349))
    assert (BACKEND.narrow(wide), BACKEND.mtu(wide)) == (None, 1280)
    assert ("link", "flannel-v6.1") in (desired_of(wide) or {})
    found = BACKEND.narrow(narrow)
    assert found is not None
    assert "packets on eth0 have 1349 bytes; behind a header of 70 that leaves 1279" in str(found)
    assert "an MTU of at least 1350" in found.cure
    assert BACKEND.mtu(narrow) == 1349 - 50
    wanted = desired_of(narrow) or {}
    assert [key for key in wanted if "flannel-v6.1" in key] == []
    assert any(isinstance(obj, Route) for obj in wanted.values())
    assert BACKEND.planner(replace(crowd(1, V6), facts=moved(mtu=1349))) is None


def test_p22_host_with_room_plans_no_ipv6_to_a_peer_without() -> None:
    whole = crowd(2, DUAL)
    narrow, *others = [
        one for one in whole.view.leases.values() if whole.own is None or one.key != whole.own.key
    ]
    says = replace(narrow, record=replace(narrow.record, without_ipv6=True))
    world = replace(whole, view=replace(whole.view, leases={**whole.view.leases, str(narrow.key): says}))
    routes = {obj.destination for obj in (desired_of(world) or {}).values() if isinstance(obj, Route)}
    assert narrow.key.subnet in routes
    assert narrow.key.subnet6 not in routes
    assert {others[0].key.subnet, others[0].key.subnet6} <= routes
    admission = admit(world)
    assert admission.rejected == ()
    assert {(one.key, one.family) for one in targets(world, admission.peers)} == {
        (SubnetKey(narrow.key.subnet), Family.IPV4),
        (others[0].key, Family.IPV4),
        (others[0].key, Family.IPV6),
    }


def test_p22_host_whose_underlay_has_no_ipv6_for_want_of_mtu_advertises_its_ipv4() -> None:
    def record(mtu: int) -> LeaseRecord | None:
        return BACKEND.advertise(replace(crowd(0, DUAL), facts=moved(mtu=mtu, address6=None)))

    assert record(1280) is None, "the address is yet to come"
    found = record(1279)
    assert found is not None
    assert (found.public_ip, found.public_ip6) == (IPv4Address("192.0.2.10"), None)
    assert found.backend_data6 is not None, "flannel takes no lease that lacks it"
    assert BACKEND.advertise(replace(crowd(0, V6), facts=moved(mtu=1279, address6=None))) is None


def test_mtu_is_unknown_without_an_underlay() -> None:
    assert BACKEND.mtu(replace(crowd(0), facts=HostFacts())) == 0


def test_advertised_record_is_flannels_with_a_node_id() -> None:
    record = BACKEND.advertise(crowd(0))
    assert record is not None
    assert (record.public_ip, record.public_ip6, record.backend_type) == (
        IPv4Address("192.0.2.10"),
        None,
        "vxlan",
    )
    assert record.backend_data == VxlanData(Mac.parse("02:00:00:00:00:00"), 1)
    assert record.backend_data6 is None
    assert record.node_id == POLICY.node_id


def test_public_ip_is_advertised_while_packets_leave_from_the_underlay_address() -> None:
    behind_nat = WORLDS["public IP behind NAT"]
    record = BACKEND.advertise(behind_nat)
    assert record is not None
    assert record.public_ip == IPv4Address("203.0.113.5")
    link = (desired_of(behind_nat) or {})["link", "flannel.1"]
    assert getattr(link, "local", None) == IPv4Address("192.0.2.10")


def test_p22_both_families_are_advertised_with_a_mac_each() -> None:
    record = BACKEND.advertise(replace(crowd(0, DUAL), own=None))
    assert record is not None
    assert record.public_ip6 == IPv6Address("2001:db8::a")
    assert isinstance(record.backend_data, VxlanData)
    assert isinstance(record.backend_data6, VxlanData)
    assert record.backend_data.mac != record.backend_data6.mac


@pytest.mark.parametrize(
    "lacking",
    [
        replace(crowd(0), network=None),
        replace(crowd(0), facts=HostFacts()),
        replace(crowd(0), facts=moved(address=None)),
        replace(crowd(0, DUAL), facts=moved(address6=None)),
    ],
)
def test_nothing_is_advertised_or_planned_while_an_address_lacks(lacking: World) -> None:
    assert BACKEND.advertise(lacking) is None
    assert BACKEND.planner(lacking) is None


def test_nothing_is_planned_while_the_own_lease_lacks_a_family() -> None:
    assert BACKEND.planner(replace(crowd(0, DUAL), own=lease(0, V4))) is None


def test_p12_mac_is_the_same_for_ever_for_one_node_and_vni_and_no_other() -> None:
    fresh = World(Policy("node-a"), V4, facts=FACTS)
    mac = vtep_mac(fresh, Family.IPV4, 1)
    assert mac == vtep_mac(replace(fresh, facts=HostFacts()), Family.IPV4, 1)
    others = {
        vtep_mac(replace(fresh, policy=Policy("node-b")), Family.IPV4, 1),
        vtep_mac(fresh, Family.IPV6, 1),
        vtep_mac(fresh, Family.IPV4, 2),
    }
    assert len(others | {mac}) == 4


@pytest.mark.parametrize("node", [f"node-{number}" for number in range(50)])
def test_derived_mac_is_unicast_and_locally_administered(node: str) -> None:
    mac = vtep_mac(World(Policy(node)), Family.IPV4, 1)
    assert mac.is_unicast
    assert mac.packed[0] & 2


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (VxlanData(Mac.parse("42:84:f6:70:e1:f3"), 1), True),
        (VxlanData(Mac.parse("42:84:f6:70:e1:f3")), True),
        (VxlanData(Mac.parse("42:84:f6:70:e1:f3"), 9), False),
        (RawData("{}"), False),
    ],
)
def test_mac_that_our_lease_advertises_is_kept_for_its_vni(data: VxlanData | RawData, *, kept: bool) -> None:
    own = replace(lease(0), record=replace(lease(0).record, backend_data=data))
    mac = vtep_mac(world(own=own), Family.IPV4, 1)
    assert (mac == Mac.parse("42:84:f6:70:e1:f3")) is kept


def test_links_are_known_before_anything_can_be_planned() -> None:
    waiting = World(POLICY, options(DUAL, vni=7))
    assert BACKEND.links(waiting) == {"flannel.7", "flannel-v6.7"}
    assert BACKEND.links(World(POLICY)) == frozenset()


def test_ground_is_equal_while_only_our_own_device_changes() -> None:
    """Equal planner spares 10,000 peers a new plan when the underlay's MTU changes."""
    assert BACKEND.planner(crowd(0)) == BACKEND.planner(replace(crowd(0), facts=moved(mtu=1400)))
    assert BACKEND.planner(crowd(0)) != BACKEND.planner(crowd(0, options(V4, vni=2)))


def test_host_routes_matter_with_direct_routing_only() -> None:
    fewer = replace(FACTS, routes=FACTS.routes[:1])
    direct = crowd(0, options(V4, directrouting=True))
    assert BACKEND.planner(crowd(0)) == BACKEND.planner(replace(crowd(0), facts=fewer))
    assert BACKEND.planner(direct) != BACKEND.planner(replace(direct, facts=fewer))


def test_mtu_that_leaves_ipv6_too_little_is_refused_with_the_least_that_would_do() -> None:
    text = '{"Network": "10.50.0.0/16", %s "Backend": {"Type": "vxlan", "MTU": %d}}'
    six = '"EnableIPv6": true, "IPv6Network": "fd50::/48",'
    validate_network(parse_network_config(text % ("", 626)))
    validate_network(parse_network_config(text % (six, 1350)))
    with pytest.raises(ConfigError, match=r"MTU of the vxlan backend is 1349.*at least 1350"):
        validate_network(parse_network_config(text % (six, 1349)))
