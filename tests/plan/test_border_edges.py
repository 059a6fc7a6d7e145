"""The guarded ranges one by one: which of the host's routes and addresses make one, and where it begins and ends."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest

from flanpy.model.address import Mac
from flanpy.model.border import EtcdAddress
from flanpy.model.facts import HostFacts, HostRoute
from flanpy.model.lease import SubnetKey
from flanpy.model.objects import BLACKHOLE_METRIC, Blackhole, FdbEntry, Route
from flanpy.plan.border import Guarded, covering, guarded, held_by, holds, same_borders, stealing, wins
from flanpy.plan.space import numbers
from tests.states import FACTS, POLICY, UNDERLAY, V4, world

LAN = ip_network("10.5.0.0/16")
MEANT = ip_network("10.5.64.0/18")


def border(text: str, *, held: int = 16, within: str = "") -> Guarded:
    first, last = numbers(ip_network(text))
    meant = (ip_network(within),) if within else ()
    return Guarded(ip_network(text).version, first, last, text, held, meant)


def ranges(*routes: HostRoute, **changes: object) -> set[str]:
    """The guarded ranges of a host with these routes; `changes` are of its facts, or the addresses of etcd."""
    etcd = changes.pop("etcd", ())
    facts = HostFacts(UNDERLAY, routes=routes, addresses=FACTS.addresses)
    seen = replace(world(V4, facts=replace(facts, **changes)), etcd=etcd)  # type: ignore[arg-type]
    return {str(one.range) for one in guarded(seen)}


def to(destination: str, gateway: str = "", link: str = "eth0") -> HostRoute:
    return HostRoute(ip_network(destination), link, ip_address(gateway) if gateway else None)


@pytest.mark.parametrize(
    ("route", "found"),
    [
        (to("192.0.2.0/24"), {"192.0.2.0/24"}),
        (to("2001:db8::/64"), {"2001:db8::/64"}),
        (to("192.0.2.0/24", link="eth1"), set()),
        (to("198.51.100.0/24"), set()),  # a route on the link in whose range the host has no address
        (to("0.0.0.0/0"), set()),
        (to("0.0.0.0/0", "192.0.2.1"), {"192.0.2.1/32"}),
        (to("0.0.0.0/0", "192.0.2.1", link="ppp0"), {"192.0.2.1/32"}),
        (to("198.51.100.0/24", "192.0.2.2"), {"192.0.2.2/32"}),
        (to("198.51.100.0/24", "192.0.2.2", link="eth1"), set()),
        (to("192.0.2.0/24", "192.0.2.3"), {"192.0.2.3/32"}),
        (to("::/0", "fe80::1"), set()),
        (to("::/0", "2001:db8::1"), {"2001:db8::1/128"}),
    ],
)
def test_route_of_the_host_guards_its_neighbours_or_its_gateway(route: HostRoute, found: set[str]) -> None:
    assert ranges(route) == found


def test_addresses_of_the_other_family_make_no_neighbours() -> None:
    assert (
        ranges(to("::/96"), addresses=frozenset({IPv4Address("0.0.0.9"), IPv4Address("192.0.2.10")})) == set()
    )
    assert ranges(to("192.0.2.0/24"), addresses=frozenset({IPv6Address("::192.0.2.10")})) == set()


def test_host_without_an_underlay_still_has_its_default_gateways() -> None:
    routes = (to("0.0.0.0/0", "192.0.2.1"), to("192.0.2.0/24"), to("198.51.100.0/24", "192.0.2.2"))
    assert ranges(*routes, underlay=None) == {"192.0.2.1/32"}


def test_etcd_is_guarded_wherever_it_is_but_on_this_host() -> None:
    addresses = ("203.0.113.5", "2001:db8:5::5", "127.0.0.1", "::1")
    etcd = tuple(EtcdAddress("http://etcd:2379", ip_address(one)) for one in addresses)
    assert ranges(etcd=etcd) == {"203.0.113.5/32", "2001:db8:5::5/128"}


def test_guarded_address_knows_how_long_the_hosts_route_to_it_is() -> None:
    etcd = (EtcdAddress("a", ip_address("198.51.100.5")), EtcdAddress("b", ip_address("203.0.113.5")))
    facts = HostFacts(UNDERLAY, routes=(to("198.51.100.0/24", "192.0.2.2", "eth1"),))
    found = {one.what: one.held for one in guarded(replace(world(V4, facts=facts), etcd=etcd))}
    assert sorted(found.values()) == [-1, 24]


def test_allowed_network_frees_only_what_lies_in_the_underlays_network() -> None:
    policy = replace(POLICY, allowed_networks=(ip_network("192.0.2.128/25"), ip_network("10.0.0.0/8")))
    facts = HostFacts(UNDERLAY, routes=(to("192.0.2.0/24"),), addresses=FACTS.addresses)
    (found,) = guarded(replace(world(V4, facts=facts), policy=policy))
    assert found.within == (ip_network("192.0.2.128/25"),)


@pytest.mark.parametrize(
    ("subnet", "held"),
    [
        ("10.5.0.0/16", True),
        ("10.5.255.255/32", True),
        ("10.4.0.0/15", True),
        ("10.0.0.0/8", True),
        ("10.4.255.255/32", False),
        ("10.6.0.0/32", False),
        ("10.5.64.0/18", False),
        ("10.5.64.0/17", True),
        ("10.5.100.0/24", False),
        ("::10.5.0.0/112", False),  # the same numbers in the other family
    ],
)
def test_subnet_holds_a_border_when_they_share_an_address_that_the_operator_did_not_free(
    subnet: str, *, held: bool
) -> None:
    borders = (border("10.5.0.0/16", within=str(MEANT)),)
    network = ip_network(subnet, strict=False)
    assert (holds(*numbers(network), borders, network) is not None) == held
    key = SubnetKey(network) if isinstance(network, IPv4Network) else SubnetKey(None, network)
    assert (held_by(key, borders) is not None) == held


def test_key_holds_a_border_by_either_of_its_subnets() -> None:
    key = SubnetKey(ip_network("10.50.7.0/24"), ip_network("fd50::/64"))  # type: ignore[arg-type]
    assert held_by(key, (border("fd50::/48"),)) == border("fd50::/48")
    assert held_by(key, (border("10.50.0.0/16"),)) == border("10.50.0.0/16")
    assert held_by(key, (border("10.51.0.0/16"),)) is None


@pytest.mark.parametrize(
    ("range_", "covered"),
    [
        ("10.5.0.0/16", True),
        ("10.5.7.0/24", True),
        ("10.4.0.0/15", False),
        ("10.6.0.0/16", False),
        ("10.5.64.0/18", False),
        ("10.5.65.0/24", False),
        ("10.5.0.0/17", True),
        ("::10.5.0.0/112", False),
    ],
)
def test_border_covers_a_network_when_nothing_of_it_lies_outside_and_the_operator_did_not_free_it(
    range_: str, *, covered: bool
) -> None:
    borders = (border("192.0.2.0/24"), border("10.5.0.0/16", within=str(MEANT)))
    assert covering(ip_network(range_), borders) == (borders[1] if covered else None)


@pytest.mark.parametrize(
    ("destination", "taken"),
    [
        ("10.5.0.0/16", True),
        ("10.5.7.0/24", True),
        ("10.4.0.0/15", False),  # shorter than the host's own route
        ("10.5.64.0/18", False),
        ("10.6.0.0/16", False),
        ("::10.5.0.0/112", False),
    ],
)
def test_route_wins_when_it_is_as_long_as_the_hosts_own(destination: str, *, taken: bool) -> None:
    borders = (border("10.5.0.0/16", within=str(MEANT)),)
    assert (wins(ip_network(destination), borders) is not None) == taken


def test_any_of_several_ranges_may_be_the_one_that_the_operator_freed() -> None:
    first, last = numbers(LAN)
    meant = (ip_network("10.5.0.0/18"), MEANT)
    assert covering(ip_network("10.5.65.0/24"), (Guarded(4, first, last, "", 16, meant),)) is None


def test_borders_are_the_same_while_nothing_that_is_guarded_changes() -> None:
    before = world(V4)
    assert same_borders(before, replace(before, own_confirmed=False)) is True
    assert (
        same_borders(before, replace(before, facts=replace(FACTS, ip_forward=not FACTS.ip_forward))) is True
    )
    assert same_borders(before, replace(before, facts=replace(FACTS, routes=FACTS.routes[:1]))) is False
    etcd = (EtcdAddress("a", ip_address("198.51.100.5")),)
    assert same_borders(before, replace(before, etcd=etcd)) is False


def test_any_route_wins_over_an_address_to_which_the_host_has_no_route() -> None:
    assert wins(ip_network("0.0.0.0/0"), (border("203.0.113.5/32", held=-1),)) is not None
    assert wins(ip_network("0.0.0.0/0"), (border("203.0.113.5/32", held=0),)) is not None
    assert wins(ip_network("0.0.0.0/0"), (border("203.0.113.5/32", held=1),)) is None


def test_only_routes_take_a_way() -> None:
    network = IPv4Network("10.5.7.0/24")
    route = Route(network, "flannel.1", None)
    objects = (
        Blackhole(network, BLACKHOLE_METRIC),
        FdbEntry("flannel.1", Mac.parse("02:00:00:00:00:01"), LAN[5]),
    )
    assert list(stealing((*objects, route), (border("10.5.0.0/16"),))) == [route]
