"""The one catalogue of faults: names, the dice's order, and what its own README says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.faults.catalogue import _ALL, FAULTS, OTHER_NAMES, fault, of_etcd, of_families
from integration.faults.fault import Family
from integration.lab import LabError
from integration.truth.fabric import FABRICS

README = Path(__file__).parents[2] / "integration/README.md"
FIRST = {
    Family.ETCD: """member_killed leader_killed quorum_killed all_killed member_frozen all_frozen member_cut
        peers_churned history_compacted etcd_wiped config_deleted config_spoilt leases_poisoned lease_deleted
        slept_past_lease subnet_stolen""",
    Family.KERNEL: """device_deleted device_deleted_thrice device_down device_mac device_mtu address_flushed
        routes_flushed routes_deleted routes_altered fdb_deleted fdb_altered fdb_added neighbours_deleted
        neighbours_altered device_replaced foreign_churn rp_filter_strict forwarding_off iptables_flushed
        ruleset_flushed""",
    Family.NETWORK: """cable_cut nic_down host_silenced packets_lost black_hole pair_parted one_way port_blocked
        cable_flaps""",
    Family.HOST: """daemon_killed daemon_stopped daemon_frozen restart_storm daemon_stutters disk_full disk_filled
        disk_read_only clock_jumps second_instance files_exhausted address_changed mtu_changed nic_replaced""",
    Family.OPERATOR: "reloaded doctor_fixes drained",
}
"""The faults that chaos had first, as reports name them."""


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len(FAULTS) == len(_ALL)
    assert set(OTHER_NAMES.values()) <= FAULTS.keys()
    assert not OTHER_NAMES.keys() & FAULTS.keys()


@pytest.mark.parametrize("family", list(Family))
def test_first_faults_of_a_family_keep_their_names_and_places_in_the_dice(family: Family) -> None:
    first = FIRST[family].split()
    assert [one.name for one in of_families([family])][: len(first)] == first


def test_every_fault_strikes_a_network_that_there_is_and_is_found_by_each_of_its_names() -> None:
    for one in FAULTS.values():
        assert one.fabrics
        assert one.fabrics <= FABRICS.keys()
        assert fault(one.name.replace("_", "-")) is one
        assert not one.problem or fault(one.problem.lower()) is one
    assert fault("frozen") in of_etcd()


def test_unknown_fault_is_refused_with_those_there_are() -> None:
    with pytest.raises(LabError, match=r"no fault 'nothing': there are P01 P02 .* cable_cut"):
        fault("nothing")


def test_readme_names_faults_that_there_are() -> None:
    typed = re.findall(r"-m integration (?:inject|faults) ([a-z_]+)", README.read_text())
    assert typed
    assert all(name == "list" or fault(name) for name in typed)
