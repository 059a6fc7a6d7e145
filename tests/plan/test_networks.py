"""The place of a named network among all others, and on a host that has addresses of its own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from flanpy.errors import ConfigError
from flanpy.model.border import EtcdAddress
from flanpy.model.networks.definition import FIRST_VNI, NamedNetwork
from flanpy.model.networks.view import Joined
from flanpy.plan.networks import Flat, free_vni, refusals, refuse_taken
from tests.model.test_named_networks import SHOP
from tests.states import crowd

LAB = replace(SHOP, name="lab", id="b2", subnet=IPv4Network("10.97.0.0/16"), vni=10_002)
FLAT: Flat = ((IPv4Network("10.50.0.0/16"), IPv6Network("fd00:50::/64")), 1)


def on(network: NamedNetwork = SHOP) -> Joined:
    return Joined(network, IPv4Network((int(network.subnet.network_address), 24)))


def test_lowest_free_vni_is_given_out() -> None:
    assert free_vni((), 0) == FIRST_VNI
    assert free_vni((SHOP,), FIRST_VNI + 1) == FIRST_VNI + 2


def test_network_beside_all_others_is_taken() -> None:
    refuse_taken(LAB, (SHOP,), FLAT)
    refuse_taken(SHOP, (SHOP,), FLAT)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (replace(LAB, subnet=IPv4Network("10.96.128.0/17")), "overlaps 10.96.0.0/16 of network 'shop'"),
        (replace(LAB, subnet=IPv4Network("10.50.0.0/20")), "overlaps the overlay's own network 10.50.0.0/16"),
        (replace(LAB, subnet=IPv4Network("10.0.0.0/8"), slice_len=20), "overlaps"),
        (replace(LAB, vni=SHOP.vni), "VNI 10001 is that of network 'shop'"),
        (
            replace(LAB, subnet6=IPv6Network("fd00:50::/60")),
            "overlaps the overlay's own network fd00:50::/64",
        ),
        (replace(LAB, subnet6=IPv6Network("fd00:96::/68")), "overlaps fd00:96::/64 of network 'shop'"),
        (replace(LAB, vni=1), "VNI 1 is the overlay's own"),
    ],
)
def test_range_or_vni_in_use_is_refused_with_its_user(new: NamedNetwork, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        refuse_taken(new, (replace(SHOP, subnet6=IPv6Network("fd00:96::/64")),), FLAT)
    assert said in str(refused.value)


def test_host_keeps_out_of_a_network_that_holds_its_own_or_etcds_address() -> None:
    world = crowd(2)
    joined = on(SHOP)
    assert refusals((joined,), world) == {}
    inside = IPv4Address("10.96.7.7")
    mine = replace(world, facts=replace(world.facts, placed=frozenset({(inside, "eth0")})))
    assert "holds 10.96.7.7 of eth0" in refusals((joined,), mine)["shop"]
    both = on(replace(SHOP, subnet6=IPv6Network("fd00:96::/64")))
    six = IPv6Address("fd00:96::7")
    mine6 = replace(world, facts=replace(world.facts, placed=frozenset({(six, "eth0")})))
    assert "holds fd00:96::7 of eth0" in refusals((both,), mine6)["shop"]
    bridge = replace(world, facts=replace(world.facts, placed=frozenset({(inside, joined.bridge)})))
    assert refusals((joined,), bridge) == {}
    etcd = replace(world, etcd=(EtcdAddress("http://etcd:2379", inside),))
    assert "holds 10.96.7.7 of etcd" in refusals((joined,), etcd)["shop"]


def test_host_keeps_out_of_networks_that_share_a_range_or_a_vni_or_the_overlays_range() -> None:
    world = crowd(2)
    assert world.network is not None
    assert world.network.network is not None
    same_range = replace(LAB, subnet=IPv4Network("10.96.0.0/20"))
    same_vni = replace(LAB, vni=SHOP.vni)
    for other in (same_range, same_vni):
        assert list(refusals((on(SHOP), on(other)), world)) == ["lab"]
    flat = replace(LAB, subnet=world.network.network, slice_len=world.network.network.prefixlen + 8)
    assert "the overlay's own network" in refusals((on(flat),), world)["lab"]
