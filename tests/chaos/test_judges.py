"""The judges of a chaos run, on a real lab: each reports what is wrong, and nothing when all is well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest

from integration.drivers.chaos.calm import Calm
from integration.drivers.chaos.run import furnish
from integration.lab import Lab
from integration.truth.fabric import FABRICS
from integration.truth.oracle import SUBNETS, Lease, leases_of, subnet_of, wrongs
from integration.truth.shadow import Shadow
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]


@pytest.fixture(scope="module")
def judged() -> Iterator[tuple[Lab, Calm]]:
    """Two hosts and their judge, to judge the judge."""
    with Lab(2) as lab:
        furnish(lab)
        with Shadow(lab.etcd) as shadow:
            judge = Calm(lab, shadow)
            assert not judge.wait()[1]
            yield lab, judge


def _wrong(judge: Calm) -> str:
    return "\n".join(judge.wait(deadline=0.5)[1])


def test_the_judge_tells_a_daemon_that_ended(judged: tuple[Lab, Calm]) -> None:
    lab, judge = judged
    lab.hosts[0].daemon.kill()
    eventually(lambda: "h1: the daemon ended with -9" in _wrong(judge), lambda: _wrong(judge))
    lab.hosts[0].daemon.relaunch()
    assert not judge.wait()[1]


def test_the_judge_tells_what_is_missing_and_what_is_too_much(judged: tuple[Lab, Calm]) -> None:
    lab, _judge = judged
    host = lab.hosts[1]
    (entry,) = (each for each in lab.etcd.api.list(SUBNETS) if '"h1"' in each.value)
    wrongs_before = wrongs(host, leases_of([entry]))
    assert any("one lease of h2 in etcd, not 0" in line for line in wrongs_before)
    assert any(f"+route {subnet_of(entry.key)}" in line for line in wrongs_before)
    assert any("-neigh flannel.1 10.50.77.0" in line for line in wrongs(host, [*_leases(lab), STRANGER]))


def _leases(lab: Lab) -> list[Lease]:
    return leases_of(lab.etcd.api.list(SUBNETS))


STRANGER = Lease(IPv4Network("10.50.77.0/24"), "10.99.1.77", "02:00:00:00:00:77", "h77")


@pytest.mark.parametrize("name", ["host-gw", "udp", "dual"])
def test_the_judge_knows_every_kind_of_network(name: str) -> None:
    fabric = FABRICS[name]
    with Lab(2, ipv6=fabric.ipv6) as lab:
        furnish(lab, fabric)
        with Shadow(lab.etcd) as shadow:
            assert not Calm(lab, shadow, fabric).wait()[1]
        stranger = replace(STRANGER, kind=fabric.type, subnet6=IPv6Network("fd50:0:0:77::/64"))
        missing = "\n".join(wrongs(lab.hosts[0], [*_leases(lab), stranger], fabric))
        assert ("-route 10.50.77.0/24" in missing) == (name != "udp")
        assert ("-route fd50:0:0:77::/64" in missing) == (name == "dual")


def test_the_judge_tells_what_belongs_to_others_and_was_touched(judged: tuple[Lab, Calm]) -> None:
    lab, judge = judged
    assert not judge.touched()
    lab.hosts[0].ip("rule del pref 30000")
    assert "h1: rules" in judge.touched()[0]


def test_the_shadow_tells_a_lease_put_over_anothers(judged: tuple[Lab, Calm]) -> None:
    lab, judge = judged
    (mine,) = (each for each in lab.etcd.api.list(SUBNETS) if '"h1"' in each.value)
    half = mine.key.replace("-24", "-25")
    lab.etcd.api.put(half, mine.value.replace('"h1"', '"thief"'))
    try:
        eventually(lambda: any("overlaps" in line for line in judge.broken), lambda: judge.broken)
    finally:
        lab.etcd.api.delete(half)
