"""The number of neighbours that a host has to resolve to reach its peers."""

from __future__ import annotations

from dataclasses import replace

from flanpy.model.address import Family
from flanpy.model.facts import HostFacts
from flanpy.plan.neighbour_need import neighbour_need
from tests.states import DUAL, crowd, lease, world


def _need(*publics: str) -> dict[Family, int]:
    peers = [lease(number, public=public) for number, public in enumerate(publics, 1)]
    return dict(neighbour_need(world(), peers))


def test_each_peer_on_a_common_link_is_a_neighbour() -> None:
    assert _need("192.0.2.20", "192.0.2.21", "192.0.2.22")[Family.IPV4] == 3


def test_all_peers_behind_a_gateway_are_one_neighbour() -> None:
    assert _need("198.51.100.1", "198.51.100.2", "203.0.113.7")[Family.IPV4] == 1
    assert _need("192.0.2.20", "198.51.100.1", "203.0.113.7")[Family.IPV4] == 2


def test_families_are_counted_apart() -> None:
    dual = crowd(3, DUAL)
    peers = [one for one in dual.view.leases.values() if dual.own is not None and one.key != dual.own.key]
    assert neighbour_need(dual, peers) == {Family.IPV4: 3, Family.IPV6: 3}


def test_peer_without_a_route_is_no_neighbour() -> None:
    routeless = replace(world(), facts=HostFacts())
    assert set(neighbour_need(routeless, [lease(1)]).values()) == {0}
