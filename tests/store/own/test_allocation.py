"""Allocation: flannel's choice, by overlap; and the guard that makes it safe."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flanpy.errors import LeaseError
from flanpy.model.lease import InvalidLease, Lease, LeaseView, SubnetKey
from flanpy.store.own.allocation import CHOICE, candidates, contested, excluded, fits, usage
from flanpy.store.own.overlap_guard import overlap_guard
from flanpy.store.schema import decode_key
from tests.store.own.lease_hosts import DUAL, network, record


def key(text: str) -> SubnetKey:
    parsed = decode_key(text)
    assert isinstance(parsed, SubnetKey), parsed
    return parsed


def view(*keys: str, invalid: tuple[str, ...] = ()) -> LeaseView:
    leases = {text: Lease(key(text), record(number, f"n{number}"), 1) for number, text in enumerate(keys)}
    return LeaseView(leases=leases, invalid=tuple(InvalidLease(text, "bad") for text in invalid), listings=1)


def free(config: Any, seen: LeaseView, previous: str = "", seed: int = 0) -> list[str]:
    was = key(previous) if previous else None
    return [str(found) for found in candidates(config, seen, previous=was, rng=Random(seed))]


def test_allocation_offers_the_first_hundred_free_subnets_in_random_order() -> None:
    found = free(network(), view("10.50.2.0-24"))
    expected = {f"10.50.{n}.0-24" for n in range(1, CHOICE + 2) if n != 2}
    assert set(found) == expected
    assert found != sorted(found)
    assert found != free(network(), view("10.50.2.0-24"), seed=1)


def test_allocation_offers_the_previous_subnet_first_when_it_is_free() -> None:
    found = free(network(), view(), "10.50.222.0-24")
    assert found[0] == "10.50.222.0-24"
    assert len(found) == len(set(found)) == CHOICE + 1


@pytest.mark.parametrize("previous", ["10.50.2.0-24", "10.50.2.0-25", "10.60.2.0-24", "10.50.0.0-24"])
def test_allocation_leaves_the_previous_subnet_out_when_it_is_taken_or_does_not_fit(previous: str) -> None:
    assert previous not in free(network(), view("10.50.2.128-25"), previous)


@pytest.mark.parametrize("taken", ["10.50.1.0-24", "10.50.0.0-23", "10.50.1.64-26", "10.50.1.0-24&fd50::-64"])
def test_p26_subnet_is_not_offered_when_any_lease_overlaps_it(taken: str) -> None:
    assert "10.50.1.0-24" not in free(network(), view(taken))


def test_p16_subnet_is_not_offered_when_its_key_exists_with_an_unreadable_value() -> None:
    assert "10.50.1.0-24" not in free(network(), view(invalid=("10.50.1.0-24", "garbage")))


@pytest.mark.parametrize("stray", ["0.0.0.0-0", "10.0.0.0-8", "10.50.0.0-16", "192.0.2.0-24"])
def test_p16_stray_key_as_large_as_the_network_takes_nothing(stray: str) -> None:
    assert len(free(network(), view(stray))) == CHOICE


@pytest.mark.parametrize("stray", ["0.0.0.0-0", "10.0.0.0-8", "10.50.0.0-16"])
def test_p16_stray_key_as_large_as_the_network_takes_no_previous_subnet_away(stray: str) -> None:
    for seed in range(5):
        assert free(network(), view(stray), previous="10.50.23.0-24", seed=seed)[0] == "10.50.23.0-24"


def test_p28_exhaustion_names_the_counts() -> None:
    config = network("10.50.0.0/22", SubnetLen=24)
    with pytest.raises(LeaseError, match=r"all 3 of /24 in 10\.50\.0\.0/22 are taken"):
        free(config, view("10.50.1.0-24", "10.50.2.0-24", "10.50.3.0-24"))


def test_p28_usage_counts_subnets_that_are_free_and_taken() -> None:
    config = network("10.50.0.0/16", SubnetMin="10.50.1.0", SubnetMax="10.50.10.0")
    four, six = usage(config, view("10.50.1.0-24", "10.50.2.0-23", "10.50.200.0-24", "10.50.2.0-24"))
    assert four is not None
    assert (four.total, four.taken, four.free) == (10, 3, 7)
    assert six is None


def test_allocation_pairs_free_subnets_of_both_families() -> None:
    found = [
        key(text) for text in free(network(**DUAL), view("10.50.1.0-24&fd50:0:0:1::-64", "10.50.9.0-24"))
    ]
    assert len(found) == CHOICE
    assert all(pair.subnet != IPv4Network("10.50.1.0/24") and pair.subnet6 is not None for pair in found)
    assert IPv6Network("fd50:0:0:1::/64") not in {pair.subnet6 for pair in found}
    assert len({pair.subnet6 for pair in found}) == CHOICE


def test_allocation_keeps_the_ipv4_subnet_when_the_network_became_dual_stack() -> None:
    first = key(free(network(**DUAL), view(), "10.50.77.0-24")[0])
    assert first.subnet == IPv4Network("10.50.77.0/24")
    assert first.subnet6 is not None


def test_allocation_works_in_an_ipv6_only_network_too_large_to_enumerate() -> None:
    config = network(EnableIPv4=False, EnableIPv6=True, IPv6Network="fd50::/16")
    found = free(config, view("fd50:0:0:1::-64"))
    assert len(found) == CHOICE
    assert "fd50:0:0:2::-64" in found
    assert "fd50:0:0:1::-64" not in found


def test_key_fits_only_with_the_length_and_families_of_the_network() -> None:
    assert fits(network(), key("10.50.7.0-24"))
    assert not fits(network(), key("10.50.7.0-25"))
    assert not fits(network(**DUAL), key("10.50.7.0-24"))
    assert not fits(network(), key("10.50.7.0-24&fd50:0:0:1::-64"))


def test_key_is_excluded_only_when_the_network_has_no_room_for_it() -> None:
    assert excluded(network(), key("10.50.7.0-25")) == ""
    assert excluded(network(), key("10.50.7.0-24&fd99::-64")) == ""
    assert "10.60.7.0/24" in excluded(network(), key("10.60.7.0-24"))
    assert "no part" in excluded(network(), key("10.0.0.0-8"))
    assert "no subnet of a family" in excluded(network(), key("fd50:0:0:1::-64"))


_lengths = st.integers(17, 30)
_bases = st.integers(0x0A320000, 0x0A32FFFF)


def _subnet(length: int, base: int) -> SubnetKey:
    return SubnetKey(IPv4Network((base >> (32 - length) << (32 - length), length)))


@settings(deadline=None, max_examples=500)
@given(_lengths, _bases, _lengths, _bases, st.booleans())
def test_p26_guard_covers_every_key_that_could_overlap(
    length: int, base: int, other_length: int, other_base: int, near: bool
) -> None:
    ours = _subnet(length, base)
    theirs = _subnet(other_length, base ^ (other_base & 0xFF) if near else other_base)
    guard = overlap_guard("/p/", ours, network(), 7)
    assert len(guard) <= 64  # an etcd takes 128 operations in a transaction
    if contested(network(), ours, theirs):
        path = f"/p/{theirs}"
        assert any(path.startswith(compare.key) for compare in guard)
        assert any(f"{path}&fd50::-64".startswith(compare.key) for compare in guard)


def test_p26_guard_covers_all_keys_when_pairs_are_leased() -> None:
    (compare,) = overlap_guard("/p/", key("10.50.7.0-24&fd50:0:0:1::-64"), network(**DUAL), 7)
    assert (compare.key, compare.prefix, compare.operand) == ("/p/", True, 8)


@settings(deadline=None)
@given(st.lists(st.tuples(_lengths, _bases), max_size=40), st.integers(18, 28), st.integers(0, 9))
def test_offered_subnets_fit_and_overlap_nothing_whatever_is_taken(
    taken: list[tuple[int, int]], length: int, seed: int
) -> None:
    config = network(SubnetLen=length)
    keys = {str(_subnet(*one)) for one in taken}
    try:
        found = candidates(config, view(*keys), rng=Random(seed))
    except LeaseError:
        found = ()
    assert all(fits(config, one) for one in found)
    assert not [(one, other) for one in found for other in keys if contested(config, one, key(other))]
    assert len(set(found)) == len(found)
