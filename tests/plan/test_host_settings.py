"""The host forwards once it has something to forward for, and not before."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from flanpy.backend.choice import host_objects
from flanpy.model.address import Family, IPAddress
from flanpy.model.objects import Blackhole, HostSysctl, LocalRoute
from flanpy.plan.host_settings import (
    FORWARD4,
    FORWARD6,
    blackholes,
    bridges,
    host_settings,
    link_settings,
    resolver_address,
)
from tests.states import DUAL, FACTS, lease, world

UNDERLAY = IPv4Address("192.0.2.10")
DEVICE, DEVICE6 = IPv4Address("10.50.10.0"), IPv6Address("fd50:0:0:a::")
BRIDGE, BRIDGE6 = IPv4Address("10.50.10.1"), IPv6Address("fd50:0:0:a::1")


@pytest.mark.parametrize(
    ("addresses", "wanted"),
    [
        ((), ()),
        ((UNDERLAY, DEVICE, DEVICE6), ()),
        ((UNDERLAY, IPv4Address("10.50.11.1")), ()),
        ((UNDERLAY, DEVICE, BRIDGE), (FORWARD4,)),
        ((UNDERLAY, BRIDGE6), (FORWARD6,)),
        ((DEVICE, DEVICE6, BRIDGE, BRIDGE6), (FORWARD4, FORWARD6)),
    ],
)
def test_p30_forwarding_is_wanted_of_the_families_in_which_a_bridge_has_our_subnet(
    addresses: tuple[IPAddress, ...], wanted: tuple[str, ...]
) -> None:
    one = world(DUAL, lease(1, DUAL), facts=replace(FACTS, addresses=frozenset(addresses)))
    assert host_settings(one) == tuple(HostSysctl(name, "1") for name in wanted)


def test_p04_switches_of_our_device_are_set_whatever_new_devices_get() -> None:
    bridged = world(DUAL, facts=replace(FACTS, addresses=frozenset({BRIDGE})))
    switches = {
        family: [(one.name, one.value) for one in link_settings(bridged, family, "flannel.1")]
        for family in Family
    }
    assert switches == {
        Family.IPV4: [("rp_filter", "2"), ("proxy_arp", "0"), ("forwarding", "1")],
        Family.IPV6: [("disable_ipv6", "0"), ("accept_ra", "0")],
    }
    unused = world(DUAL, facts=replace(FACTS, addresses=frozenset()))
    names = [one.name for one in link_settings(unused, Family.IPV4, "flannel.1")]
    assert names == ["rp_filter", "proxy_arp"], "there is nothing to forward for yet"


def test_links_of_containers_are_those_with_an_address_of_our_subnets_but_the_first() -> None:
    placed: set[tuple[IPAddress, str]] = {
        (UNDERLAY, "eth0"),
        (DEVICE, "flannel.1"),
        (BRIDGE, "docker0"),
        (BRIDGE6, "flanpy0"),
    }
    one = world(DUAL, facts=replace(FACTS, placed=frozenset(placed)))
    assert bridges(one) == {"docker0", "flanpy0"}
    assert bridges(replace(one, own=None)) == frozenset()


def test_nothing_is_wanted_without_a_lease() -> None:
    assert host_settings(replace(world(DUAL), own=None)) == ()


def test_our_own_subnets_end_in_a_blackhole_when_the_operator_wants_that() -> None:
    one = world(DUAL, lease(1, DUAL))
    assert one.own is not None
    assert one.own.key.subnet is not None
    assert one.own.key.subnet6 is not None
    wanting = replace(one, policy=replace(one.policy, blackhole=True))
    assert blackholes(wanting) == (Blackhole(one.own.key.subnet), Blackhole(one.own.key.subnet6))
    assert blackholes(replace(wanting, own=None)) == ()
    assert blackholes(one) == ()


def test_address_of_the_resolver_is_this_hosts_where_the_operator_wants_one() -> None:
    one = world(DUAL)
    assert resolver_address(one) == ()
    wanting = replace(one, policy=replace(one.policy, dns_address=IPv4Address("169.254.53.53")))
    assert resolver_address(wanting) == (LocalRoute(IPv4Network("169.254.53.53/32")),)
    assert set(resolver_address(wanting)) <= set(host_objects(wanting))


def test_docker_that_waits_for_forwarding_is_not_waited_for() -> None:
    bare = world(DUAL, facts=replace(FACTS, addresses=frozenset({UNDERLAY, DEVICE})))
    assert host_settings(bare) == ()
    assert host_settings(replace(bare, docker_waits=True)) == (HostSysctl(FORWARD4, "1"),)
    assert host_settings(replace(bare, docker_waits=True, own=None)) == ()
