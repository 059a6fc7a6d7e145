"""Histories of worlds: whatever came before, the end is what the last world wants."""

from __future__ import annotations

import pytest

from flanpy.model.world import World
from tests.plan.pipeline import Run, agree, desired_of
from tests.states import CLOSED, EXPANDERS, OPEN, WORLDS, world


def histories(last: str) -> list[World]:
    """All worlds, with `last` at both ends, so that every expander ends with a world that permits deletion."""
    return [WORLDS[last], *(WORLDS[name] for name in WORLDS if name != last), WORLDS[last]]


@pytest.mark.parametrize("expander", EXPANDERS)
@pytest.mark.parametrize("last", OPEN)
def test_what_stands_is_what_the_last_world_wants_whatever_came_before(last: str, expander: str) -> None:
    run = Run()
    history = EXPANDERS[expander](histories(last))
    for step in history:
        run.step(step)
    assert agree(run.observed.owned, desired_of(history[-1]))
    assert agree(run.standing.objects, desired_of(history[-1]))
    assert run.failures == []


@pytest.mark.parametrize("expander", EXPANDERS)
@pytest.mark.parametrize("last", OPEN)
def test_what_stands_is_wanted_with_a_read_back_before_each_step(last: str, expander: str) -> None:
    run = Run()
    history = EXPANDERS[expander](histories(last))
    for step in history:
        run.read_back()
        run.step(step)
    assert agree(run.standing.objects, desired_of(history[-1]))
    assert run.failures == []


@pytest.mark.parametrize("name", OPEN)
def test_a_second_pass_over_a_world_does_nothing(name: str) -> None:
    run = Run()
    assert run.step(WORLDS[name]).ops
    assert run.step(WORLDS[name]).ops == ()
    run.read_back()
    assert run.step(WORLDS[name]).ops == ()


@pytest.mark.parametrize("name", sorted(CLOSED))
@pytest.mark.parametrize("before", OPEN)
def test_nothing_is_deleted_in_a_world_that_closes_a_gate(before: str, name: str) -> None:
    run = Run()
    run.step(WORLDS[before])
    stood = set(run.standing.objects)
    run.settle(WORLDS[name])
    assert stood <= set(run.standing.objects)


@pytest.mark.parametrize("before", OPEN)
@pytest.mark.parametrize(
    "last", ["one peer", "other VNI", "dual stack", "DirectRouting, one on-link and one routed peer"]
)
def test_what_a_restarted_daemon_finds_is_brought_to_what_is_wanted(before: str, last: str) -> None:
    found = Run()
    found.step(WORLDS[before])
    restarted = Run(found.standing)
    restarted.step(WORLDS[last])
    # A device whose VNI is no longer wanted is looked for by its alias, so it goes as well.
    assert agree(restarted.standing.objects, desired_of(WORLDS[last]))
    assert restarted.failures == []


def test_p15_peers_that_left_while_the_daemon_was_down_are_pruned_after_the_first_listing() -> None:
    found = Run()
    found.step(WORLDS["ten hosts"])
    restarted = Run(found.standing)
    restarted.step(WORLDS["leases not listed"])
    assert agree(restarted.standing.objects, desired_of(WORLDS["ten hosts"]))
    restarted.step(world())
    assert agree(restarted.standing.objects, desired_of(world()))
