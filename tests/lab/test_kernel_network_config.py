"""The network config changes under running hosts: DirectRouting, MTU, VNI. All follow without a restart."""

from __future__ import annotations

from typing import Any

import pytest

from integration.lab import NETWORK, Lab, unreached
from tests.lab.conftest import BuildLab
from tests.lab.overlay import (
    add_decoys,
    assert_settled,
    device,
    eventually,
    foreign_state,
    standing,
    wrongs,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


def _vxlan(**options: Any) -> dict[str, Any]:
    return {"Network": NETWORK, "Backend": {"Type": "vxlan", **options}}


def _tunnelled(lab: Lab, name: str) -> set[str]:
    """The hosts that a host has a tunnel to."""
    host = lab.host(name)
    fdb = [line for line in standing(lab, host) if line.startswith("fdb")]
    return {other.name for other in lab.hosts if any(f"dst {other.address}" in line for line in fdb)}


def test_direct_routing_routes_on_link_peers_and_tunnels_to_routed_ones(build_lab: BuildLab) -> None:
    lab = build_lab(4, segments=2)
    lab.configure(_vxlan(DirectRouting=True))
    lab.start_daemons()
    lab.attach_containers()
    add_decoys(lab.host("h1"))
    decoys = foreign_state(lab.host("h1"))

    assert_settled(lab)
    assert [_tunnelled(lab, name) for name in ("h1", "h3")] == [{"h3", "h4"}, {"h1", "h2"}]
    assert unreached(lab.containers) == ()

    lab.configure(_vxlan())
    assert_settled(lab)
    assert _tunnelled(lab, "h1") == {"h2", "h3", "h4"}
    assert unreached(lab.containers) == ()

    lab.configure(_vxlan(DirectRouting=True))
    assert_settled(lab)
    assert _tunnelled(lab, "h1") == {"h3", "h4"}

    assert foreign_state(lab.host("h1")) == decoys

    # with the link down its routes go, and with the link they come back
    with lab.faults.link_down(lab.host("h1")):
        eventually(lambda: not lab.host("h1").daemon.is_ready(), "not ready without the underlay")
    assert_settled(lab, deadline=15)
    assert unreached(lab.containers) == ()


def test_direct_routing_follows_a_route_that_makes_a_peer_routed(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure(_vxlan(DirectRouting=True))
    lab.start_daemons()
    one, two = lab.hosts
    assert _tunnelled(lab, "h1") == set()

    one.ip(f"route add {two.address}/32 via 10.99.0.1 dev eth0")
    eventually(lambda: _tunnelled(lab, "h1") == {"h2"}, lambda: wrongs(lab, one))
    assert_settled(lab, [one])
    one.ip(f"route del {two.address}/32")
    eventually(lambda: _tunnelled(lab, "h1") == set(), lambda: wrongs(lab, one))
    assert_settled(lab)


def test_network_config_mtu_vni_and_port_are_followed_by_all_hosts(lab: Lab) -> None:
    try:
        lab.configure(_vxlan(MTU=1400))
        assert_settled(lab)
        eventually(lambda: {host.subnet_file.mtu for host in lab.hosts} == {1350}, "subnet.env has the MTU")

        for options in ({"VNI": 7}, {"VNI": 7, "Port": 4789}, {"VNI": 8}, {}):
            lab.configure(_vxlan(**options))
            assert_settled(lab, deadline=10)
            name = device(lab)
            for host in lab.hosts:
                links = [link["ifname"] for link in host.ip_json("link", "show", "type", "vxlan")]
                assert links == [name]
            assert unreached(lab.containers) == ()
    finally:
        lab.configure()
    assert_settled(lab, deadline=10)


def test_network_config_deleted_or_spoilt_changes_nothing(lab: Lab) -> None:
    before = [standing(lab, host) for host in lab.hosts]
    entry = "/coreos.com/network/config"
    for spoilt in ("{", '{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "VNI": -4}}', None):
        if spoilt is None:
            lab.etcd.api.delete(entry)
        else:
            lab.etcd.api.put(entry, spoilt)
        eventually(
            lambda: all(
                not host.daemon.is_ready() or _says_invalid(host.daemon.metrics()) for host in lab.hosts
            ),
            "the config is refused",
        )
        lab.configure()
        assert_settled(lab)
    assert [standing(lab, host) for host in lab.hosts] == before


def _says_invalid(metrics: str) -> bool:
    return 'flanpy_condition_healthy{condition="NetworkConfigValid"} 0.0' in metrics
