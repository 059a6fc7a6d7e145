"""The judges of a run: leases that overlap, packets that nobody may lose, things that grow."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Network

import pytest

from integration.drivers.chaos.schedule import Blow
from integration.drivers.chaos.storm import Struck
from integration.drivers.chaos.summary import summed, told
from integration.drivers.chaos.verdict import Window, kind_rows, unexcused
from integration.drivers.soak.trend import Bound, slope, trend
from integration.lab import Entry, simulated_peers
from integration.traffic.mesh import Loss
from integration.truth.fabric import FABRICS
from integration.truth.foreign import differences
from integration.truth.oracle import SUBNETS, lease_of, subnet_of
from integration.truth.shadow import LeaseBook


def _value(node: str) -> str:
    return json.dumps({"PublicIP": "10.99.1.1", "NodeID": node})


def _book(*leases: tuple[str, str]) -> LeaseBook:
    book = LeaseBook()
    for key, node in leases:
        book.put(SUBNETS + key, _value(node))
    return book


def test_leases_side_by_side_break_no_rule() -> None:
    assert not _book(("10.50.1.0-24", "h1"), ("10.50.2.0-24", "h2"), ("10.50.1.0-24", "h1")).broken


@pytest.mark.parametrize("second", ["10.50.1.128-25", "10.50.0.0-16"])
def test_leases_that_overlap_are_told(second: str) -> None:
    assert "overlaps" in _book(("10.50.1.0-24", "h1"), (second, "h2")).broken[0]


def test_a_lease_that_changes_hands_without_being_free_is_told() -> None:
    assert "from h1 to h2" in _book(("10.50.1.0-24", "h1"), ("10.50.1.0-24", "h2")).broken[0]


def test_a_lease_that_was_free_between_may_be_anothers() -> None:
    book = _book(("10.50.1.0-24", "h1"))
    book.deleted(SUBNETS + "10.50.1.0-24")
    book.put(SUBNETS + "10.50.1.0-24", _value("h2"))
    assert not book.broken


def test_a_host_with_two_leases_is_told() -> None:
    assert "h1 holds" in _book(("10.50.1.0-24", "h1"), ("10.50.2.0-24", "h1")).broken[0]


@pytest.mark.parametrize("second", ["10.50.2.0-24&fd50:0:0:1::-64", "10.50.1.0-24&fd50:0:0:2::-64"])
def test_leases_that_overlap_in_one_of_two_families_are_told(second: str) -> None:
    assert "overlaps" in _book(("10.50.1.0-24&fd50:0:0:1::-64", "h1"), (second, "h2")).broken[0]


def test_a_key_put_there_to_poison_is_not_judged() -> None:
    book = _book(("10.50.1.0-24", "h1"))
    book.exempt.add("10.50.0.0-16")
    book.put(SUBNETS + "10.50.0.0-16", _value("nobody"))
    assert not book.broken


@pytest.mark.parametrize("key", ["garbage", "10.50.300.0-24", "10.50.1.7-24", "../../etc"])
def test_a_key_that_names_no_subnet_is_none(key: str) -> None:
    assert subnet_of(key) is None


def test_a_lease_is_read_from_its_key_and_value() -> None:
    data = {"VNI": 1, "VtepMAC": "02:00:00:00:00:01"}
    said = {"PublicIP": "10.99.1.2", "BackendType": "vxlan", "BackendData": data, "NodeID": "h2"}
    value = json.dumps(said)
    lease = lease_of(Entry(SUBNETS + "10.50.2.0-24", value, 1, 1, 7))
    assert lease is not None
    assert (lease.subnet, lease.public_ip, lease.node) == (IPv4Network("10.50.2.0/24"), "10.99.1.2", "h2")


@pytest.mark.parametrize("name", FABRICS)
def test_a_host_that_does_not_exist_advertises_as_its_network_does(name: str) -> None:
    (peer,) = simulated_peers(1, network="10.50.0.0/16")
    lease = lease_of(Entry(SUBNETS + peer.key, FABRICS[name].value(peer), 1, 1, 7))
    assert lease is not None
    assert (lease.kind, lease.public_ip) == (FABRICS[name].type, str(peer.public_ip))


def test_both_families_of_a_lease_are_read() -> None:
    key = "10.50.2.0-24&fd50:0:0:2::-64"
    value = {
        "PublicIP": "10.99.1.2",
        "PublicIPv6": "fd99:1::2",
        "BackendType": "vxlan",
        "BackendData": {"VtepMAC": "02:00:00:00:00:01"},
        "BackendV6Data": {"VtepMAC": "02:00:00:00:00:02"},
    }
    lease = lease_of(Entry(SUBNETS + key, json.dumps(value), 1, 1, 7))
    assert lease is not None
    assert lease.of("-6") == (IPv6Network("fd50:0:0:2::/64"), "fd99:1::2", "02:00:00:00:00:02")


STRUCK = Struck(Blow(1, 2.0, 3.0, "cable_cut", ("h1",)), begin=102.0, end=105.0)
HARMLESS = Struck(Blow(1, 2.0, 3.0, "daemon_killed", ("h2",)), begin=102.0, end=105.0)
WINDOW = Window(1, begin=100.0, calm=110.0, well=112.0, struck=(STRUCK, HARMLESS))


@pytest.mark.parametrize(
    ("loss", "excused"),
    [
        (Loss("h1", "h3", 9, 102.0, 105.3), True),
        (Loss("h3", "h1", 9, 102.0, 105.3), True),
        (Loss("h1", "h3", 9, 100.5, 101.5), False),
        (Loss("h1", "h3", 9, 113.0, 114.0), False),
        (Loss("h2", "h3", 1, 102.0, 105.3), False),
        (Loss("h3", "h4", 1, 102.0, 105.3), False),
    ],
)  # fmt: skip
def test_only_a_fault_at_an_end_excuses_what_a_flow_lost(loss: Loss, excused: bool) -> None:
    assert unexcused([loss], [WINDOW]) == ([] if excused else [loss])


def test_a_gap_is_laid_at_the_only_fault_that_may_have_made_it() -> None:
    (cut, killed) = kind_rows([WINDOW], [Loss("h1", "h3", 150, 102.0, 105.5)])
    assert (cut.name, cut.alone_gap, cut.alone_after) == ("cable_cut", 3.5, 0.5)
    assert (killed.name, killed.alone_gap, killed.shared_gap) == ("daemon_killed", 0.0, 0.0)


def test_what_is_foreign_and_gone_is_named() -> None:
    assert differences({"rules": ["a"]}, {"rules": []}) == ["rules: was ['a'], is []"]


RUN = {
    "seed": 7,
    "backend": "vxlan",
    "seconds": 60.0,
    "families": {"network": {"tried": 3, "survived": 3}},
    "violations": [],
    "converged": {"each": [0.5, 2.5]},
    "lease_changes": 4,
    "lost_untouched": 0,
    "flows": {"sent": 100},
    "kinds": [
        {"name": "cable_cut", "family": "network", "struck": 3, "missed": 0}
        | {"alone_gap": 3.5, "alone_after": 0.5, "shared_gap": 4.0}
    ],
}


def test_runs_are_summed_by_kind_and_family_and_their_longest_gaps_are_kept() -> None:
    row = RUN["kinds"][0] | {"alone_gap": 9.0, "struck": 2}  # type: ignore[index]
    other = RUN | {"seed": 8, "backend": "udp", "kinds": [row], "violations": ["h1: broken"]}
    found = summed([RUN, other])
    assert (found.kinds[0].struck, found.kinds[0].alone_gap, found.tried["network"]) == (5, 9.0, 6)
    assert (found.seeds, found.violations) == (("7", "8 (udp)"), ("seed 8 (udp): h1: broken",))
    text = told(found)
    assert "| cable cut | network | 5 | 9.00 | 0.50 |" in text
    assert "median 1.50 s, worst 2.50 s" in text


BOUND = Bound("pss", "MiB", slack=1.0, per_hour=3.0)


def test_a_leak_grows_and_a_warm_up_does_not() -> None:
    leak = [(float(second), second * 0.01) for second in range(600)]
    warm = [(float(second), min(second, 100) * 0.3) for second in range(600)]
    assert trend(BOUND, leak).grows
    assert trend(BOUND, leak).per_hour == pytest.approx(36.0)
    assert not trend(BOUND, warm).grows


def test_a_slope_is_that_of_the_line() -> None:
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == pytest.approx(2.0)
    assert slope([(1.0, 1.0)]) == 0.0
