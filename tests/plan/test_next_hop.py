"""The host's routing table: longest prefix first, then lowest metric, as in the kernel."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.facts import HostRoute
from flanpy.plan.next_hop import RouteTable, next_hop

DEFAULT = HostRoute(IPv4Network("0.0.0.0/0"), "eth0", IPv4Address("192.0.2.1"), 100)
LAN = HostRoute(IPv4Network("192.0.2.0/24"), "eth0", None)
HOST = HostRoute(IPv4Network("192.0.2.9/32"), "eth1", IPv4Address("198.51.100.1"))
LAN6 = HostRoute(IPv6Network("2001:db8::/64"), "eth0", None)


def test_longest_prefix_wins_whatever_the_metric() -> None:
    table = RouteTable.of([DEFAULT, LAN, HOST, LAN6])
    assert table.next_hop(IPv4Address("192.0.2.9")) is HOST
    assert table.next_hop(IPv4Address("192.0.2.8")) is LAN
    assert table.next_hop(IPv4Address("203.0.113.1")) is DEFAULT
    assert table.next_hop(IPv6Address("2001:db8::1")) is LAN6


def test_lowest_metric_wins_among_equal_prefixes_and_the_first_among_equal_metrics() -> None:
    rival = HostRoute(DEFAULT.destination, "eth1", None, 50)
    twin = HostRoute(DEFAULT.destination, "eth2", None, 50)
    assert next_hop(IPv4Address("8.8.8.8"), [DEFAULT, rival, twin]) is rival


def test_address_without_a_route_has_no_next_hop() -> None:
    table = RouteTable.of([LAN])
    assert table.next_hop(IPv4Address("8.8.8.8")) is None
    assert table.next_hop(IPv6Address("2001:db8::1")) is None
    assert table.on_link(IPv4Address("8.8.8.8")) is None


def test_only_a_route_without_gateway_is_on_link() -> None:
    table = RouteTable.of([DEFAULT, LAN, HOST])
    assert table.on_link(IPv4Address("192.0.2.8")) is LAN
    assert table.on_link(IPv4Address("192.0.2.9")) is None
    assert table.on_link(IPv4Address("8.8.8.8")) is None


ROUTES = st.builds(
    lambda number, length, metric: HostRoute(
        IPv4Network((number << 24, length), strict=False), "eth0", None, metric
    ),
    st.integers(0, 255),
    st.integers(0, 12),
    st.integers(0, 3),
)


@given(st.lists(ROUTES, max_size=20), st.integers(0, 2**32 - 1))
def test_table_finds_what_a_scan_of_all_routes_finds(routes: list[HostRoute], number: int) -> None:
    address = IPv4Address(number)
    matching = [route for route in routes if address in route.destination]
    best = min(matching, key=lambda route: (-route.destination.prefixlen, route.metric), default=None)
    assert next_hop(address, routes) == best
