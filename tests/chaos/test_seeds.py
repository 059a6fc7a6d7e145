"""Chaos on a real lab: a storm from a seed, and short fixed schedules of what once went wrong."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from integration.chaos.kinds import Blow
from integration.chaos.report import table
from integration.chaos.run import Outcome, run
from integration.chaos.schedule import plan

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]


def _weathered(blows: Sequence[Blow], *, hosts: int = 3, etcd_members: int = 1) -> Outcome:
    outcome = run(blows, hosts=hosts, etcd_members=etcd_members)
    assert not outcome.violations, "\n".join([*map(str, blows), table(outcome)])
    assert outcome.flows.received > 0
    return outcome


def test_all_is_well_again_after_a_storm_of_faults_of_every_family() -> None:
    outcome = _weathered(plan(5, hosts=4, seconds=20, blows=10), hosts=4, etcd_members=3)
    (window,) = outcome.windows
    assert sum(not each.missed for each in window.struck) >= 7
