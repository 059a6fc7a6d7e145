"""The edges of the choice of a subnet: the last slot, barred ranges of either family, keys that are as large."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from random import Random

import pytest

from flanpy.model.lease import LeaseView, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.store.own.allocation import candidates, contested, excluded, fits, pool4, pool6, usage
from flanpy.store.own.overlap_guard import is_narrow, overlap_guard
from tests.store.own.lease_hosts import DUAL, network
from tests.store.own.test_lease_step import lease

SMALL = network("10.50.0.0/20", SubnetMin="10.50.4.0", SubnetMax="10.50.7.0")
SIX = network(EnableIPv4=False, **DUAL)


def key(text: str, text6: str = "") -> SubnetKey:
    four = ip_network(text) if text else None
    return SubnetKey(four, ip_network(text6) if text6 else None)  # type: ignore[arg-type]


def offered(config: NetworkConfig, *taken: str, barred: tuple[str, ...] = ()) -> list[str]:
    seen = LeaseView(leases={one: lease(one) for one in taken}, listings=1)
    ranges = tuple(map(ip_network, barred))
    return sorted(str(one) for one in candidates(config, seen, rng=Random(0), barred=ranges))


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ((), ["4", "5", "6", "7"]),
        (("10.50.4.0-24",), ["5", "6", "7"]),
        (("10.50.7.0-24",), ["4", "5", "6"]),
        (("10.50.3.255-32",), ["4", "5", "6", "7"]),
        (("10.50.4.0-32",), ["5", "6", "7"]),
        (("10.50.7.255-32",), ["4", "5", "6"]),
        (("10.50.8.0-32",), ["4", "5", "6", "7"]),
        (("10.50.4.0-23", "10.50.5.0-24"), ["6", "7"]),
        (("10.50.6.0-23",), ["4", "5"]),
        (("10.50.0.0-21",), []),
    ],
)
def test_subnet_is_offered_when_none_of_its_addresses_is_taken(
    taken: tuple[str, ...], left: list[str]
) -> None:
    if left:
        assert offered(SMALL, *taken) == [f"10.50.{number}.0-24" for number in left]
    count, _ = usage(SMALL, LeaseView(leases={one: lease(one) for one in taken}, listings=1))
    assert count is not None
    assert (count.total, count.free) == (4, len(left))


def test_barred_ranges_count_in_their_own_family() -> None:
    assert offered(SMALL, barred=("10.50.4.0/23", "fd50::/64")) == ["10.50.6.0-24", "10.50.7.0-24"]
    free = offered(SIX, barred=("fd50::/58", "10.50.4.0/23"))
    assert free
    assert "fd50:0:0:3f::-64" not in free
    assert "fd50:0:0:40::-64" in free


def test_previous_subnet_is_offered_once() -> None:
    seen = LeaseView(listings=1)
    found = candidates(SMALL, seen, previous=key("10.50.6.0/24"), rng=Random(0))
    assert str(found[0]) == "10.50.6.0-24"
    assert len(found) == len(set(found)) == 4


def test_dual_stack_offers_as_many_pairs_as_the_smaller_pool_has() -> None:
    config = network("10.50.0.0/20", SubnetMin="10.50.4.0", SubnetMax="10.50.7.0", **DUAL)
    assert len(candidates(config, LeaseView(listings=1), rng=Random(0))) == 4


@pytest.mark.parametrize(
    ("text", "room"),
    [("10.50.3.0/24", False), ("10.50.4.0/24", True), ("10.50.7.0/24", True), ("10.50.8.0/24", False)],
)
def test_key_fits_from_the_first_to_the_last_subnet(text: str, *, room: bool) -> None:
    assert fits(SMALL, key(text)) is room


def test_key_fits_only_with_its_own_length_and_families() -> None:
    assert fits(SMALL, key("10.50.4.0/23")) is False
    assert fits(SMALL, key("")) is False
    assert fits(SMALL, key("10.50.4.0/24", "fd50::/64")) is False


def test_key_as_large_as_the_network_is_excluded_and_takes_nothing() -> None:
    whole = key("10.50.0.0/20")
    assert "no part of network" in excluded(SMALL, whole)
    assert excluded(SMALL, key("10.50.0.0/21")) == ""
    assert not contested(SMALL, key("10.50.4.0/24"), whole)
    assert contested(SMALL, key("10.50.4.0/24"), key("10.50.0.0/21"))
    assert not contested(SMALL, key("10.50.4.0/24", "fd50::/64"), key("", "fd50::/64"))
    assert not contested(SMALL, key("10.50.4.0/24"), key("", "fd50::/64"))


@pytest.mark.parametrize("missing", ["network", "subnet_min", "subnet_max"])
def test_there_is_no_pool_without_a_network_and_both_bounds(missing: str) -> None:
    assert pool4(replace(SMALL, **{missing: None})) is None  # type: ignore[arg-type]
    assert pool6(replace(SIX, **{f"{missing}6": None})) is None  # type: ignore[arg-type]


# The guard of a creation


def stems(text: str, config: NetworkConfig = SMALL) -> list[str]:
    return [one.key for one in overlap_guard("/s/", key(text), config, 41)]


def test_guard_is_narrow_in_a_network_of_ipv4_alone() -> None:
    assert is_narrow(key("10.50.4.0/24"), SMALL) is True
    assert is_narrow(key("10.50.4.0/24", "fd50::/64"), SMALL) is False
    assert is_narrow(key("10.50.4.0/24"), network(**DUAL)) is False
    assert is_narrow(key("", "fd50::/64"), SMALL) is False
    assert is_narrow(key("10.50.4.0/24"), replace(SMALL, network=None)) is False
    assert stems("10.50.4.0/24", network(**DUAL)) == ["/s/"]


def test_guard_names_wider_subnets_inside_the_network_and_what_begins_like_the_key() -> None:
    assert stems("10.50.4.0/24") == ["/s/10.50.0.0-21", "/s/10.50.4.0-22", "/s/10.50.4.0-23", "/s/10.50.4."]
    assert stems("10.50.4.0/26")[-1] == "/s/10.50.4."
    assert stems("10.50.4.32/28")[-1] == "/s/10.50.4."
    assert stems("10.50.4.33/32")[-1] == "/s/10.50.4."
    assert stems("10.50.4.0/23")[-2:] == ["/s/10.50.4.", "/s/10.50.5."]
    assert stems("10.50.16.0/20", network("10.50.0.0/16"))[-16:] == [f"/s/10.50.{n}." for n in range(16, 32)]
    assert stems("10.50.32.0/19", network("10.50.0.0/16"))[-1] == "/s/10.50."
    assert stems("10.50.0.0/16", network("10.0.0.0/8"))[-1] == "/s/10.50."
    assert {one.operand for one in overlap_guard("/s/", key("10.50.4.0/24"), SMALL, 41)} == {42}
