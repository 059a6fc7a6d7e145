"""The schedule of a chaos run: from the seed alone, and within its own rules."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import combinations, groupby

import pytest

from integration.drivers.chaos.schedule import STORM_S, Blow, collide, plan
from integration.drivers.chaos.storm import Storm
from integration.faults.catalogue import FAULTS, of_families
from integration.faults.fault import Evidence, Family, Fault, Part, StrikeContext, Tell
from integration.lab import Lab
from integration.truth.fabric import FABRICS

SEEDS = range(12)


def test_a_schedule_is_the_same_whenever_its_seed_is() -> None:
    assert plan(7, hosts=5, seconds=200) == plan(7, hosts=5, seconds=200)


def test_a_schedule_is_another_when_its_seed_is() -> None:
    assert len({plan(seed, hosts=5, seconds=30) for seed in SEEDS}) == len(SEEDS)


def test_a_schedule_begins_with_the_same_storms_when_it_is_shorter() -> None:
    long, short = plan(7, hosts=5, seconds=300), plan(7, hosts=5, seconds=60)
    assert long[: len(short)] == short


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_faults_work_on_one_part_of_a_host_at_once(seed: int) -> None:
    for _, storm in groupby(plan(seed, hosts=5, seconds=300), key=lambda blow: blow.storm):
        for one, other in combinations(storm, 2):
            apart = one.ends < other.at or other.ends < one.at
            assert apart or not collide(one, other), f"{one}\n{other}"


@pytest.mark.parametrize("seed", SEEDS)
def test_two_hosts_of_each_storm_are_struck_by_nothing_that_may_cost_packets(seed: int) -> None:
    for _, storm in groupby(plan(seed, hosts=5, seconds=300), key=lambda blow: blow.storm):
        struck = {host for blow in storm if FAULTS[blow.kind].breaks for host in blow.hosts}
        assert len(struck) <= 3


@pytest.mark.parametrize("family", list(Family))
def test_only_the_families_asked_for_strike(family: Family) -> None:
    blows = plan(3, hosts=5, seconds=120, families=[family])
    assert blows
    assert {FAULTS[blow.kind].family for blow in blows} == {family}


def test_every_kind_strikes_within_a_hundred_storms_and_ends_with_its_storm() -> None:
    blows = plan(11, hosts=5, seconds=2400)
    assert {blow.kind for blow in blows} == {one.name for one in of_families(Family)}
    assert all(blow.ends <= STORM_S + 0.1 for blow in blows)


@pytest.mark.parametrize("name", FABRICS)
def test_only_what_a_network_has_is_struck(name: str) -> None:
    blows = plan(3, hosts=5, seconds=1200, fabric=FABRICS[name])
    assert all(name in FAULTS[blow.kind].fabrics for blow in blows)
    struck = {one.name for one in of_families(Family, FABRICS[name])}
    assert all(name in FAULTS[kind].fabrics for kind in struck)
    assert ("fdb_altered" in struck) == (name in {"vxlan", "dual"})
    assert ("device_deleted" in struck) == (name != "host-gw")


def test_a_fault_waits_until_the_one_before_it_on_the_same_part_is_taken_back() -> None:
    """On a busy machine that may take longer than the schedule knew."""
    active: list[str] = []
    most = 0

    def strike(context: StrikeContext) -> Iterator[Evidence | None]:
        nonlocal most
        active.append(context.what)
        most = max(most, len(active))
        yield None
        time.sleep(0.3)
        active.remove(context.what)

    slow = Fault(
        name="slow", title="", family=Family.ETCD, part=Part.ETCD, strike=strike, lasts=(0, 1), hosts=0
    )
    before = FAULTS["slow"]
    FAULTS["slow"] = slow
    try:
        tell = Tell()
        struck = Storm(Lab(1), tell).rage([Blow(1, 0.0, 0.05, "slow"), Blow(1, 0.1, 0.05, "slow")])
    finally:
        FAULTS["slow"] = before
    assert most == 1
    assert struck[1].begin >= struck[0].begin + 0.3


def test_a_schedule_without_a_family_is_refused() -> None:
    with pytest.raises(ValueError, match="no family"):
        plan(1, hosts=5, seconds=30, families=[])


def test_a_wipe_of_etcd_waits_until_every_daemon_is_there() -> None:
    wipe, kill = Blow(1, 3, 1, "etcd_wiped"), Blow(1, 3, 1, "daemon_killed", ("h4",))
    assert collide(wipe, kill)
    assert not collide(Blow(1, 3, 1, "all_killed"), kill)
