"""The owners of foreign objects, and the commands that remove them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from flanpy.model.objects import OtherRoute, Route
from flanpy.plan.foreign import cure_of_link, owner_of_route, removal

NET = IPv4Network("10.50.2.0/24")


def test_docker_network_is_named_by_its_id_with_docker_s_own_cure() -> None:
    route = Route(NET, "br-0123456789ab", proto=2)
    assert owner_of_route(route) == "br-0123456789ab is the bridge of the Docker network with id 0123456789ab"
    cure = cure_of_link("br-0123456789ab", IPv4Network("10.50.0.0/16"))
    assert "docker network ls --filter id=0123456789ab" in cure
    assert "default-address-pools outside 10.50.0.0/16" in cure
    assert "docker" not in cure_of_link("eth7", None)


def test_route_is_named_by_who_put_it_and_removed_by_its_command() -> None:
    route = Route(NET, "eth0", IPv4Address("192.0.2.9"), proto=12)
    assert owner_of_route(route) == "bird put it"
    assert removal(route) == "ip route del 10.50.2.0/24 via 192.0.2.9 dev eth0 proto 12"
    assert owner_of_route(OtherRoute(NET, "blackhole", proto=99)) == "a routing daemon of protocol 99 put it"
    assert owner_of_route(Route(NET, "eth0", proto=0)) == ""
