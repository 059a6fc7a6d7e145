"""Recalled host objects are those that would be planned again."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from flanpy.backend import choice
from flanpy.backend.host_objects import HostObjects
from flanpy.model.lease import LeaseView
from flanpy.model.world import World
from tests.states import crowd


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[World]:
    worlds: list[World] = []

    def plan(world: World) -> object:
        worlds.append(world)
        return original(world)

    original = choice.host_objects
    monkeypatch.setattr(choice, "host_objects", plan)
    return worlds


def test_objects_are_those_of_the_world(planned: list[World]) -> None:
    world = crowd(3)
    assert HostObjects().of(world) == choice.host_objects(world)


def test_leases_of_others_are_no_reason_to_plan_again(planned: list[World]) -> None:
    objects, world = HostObjects(), crowd(3)
    first = objects.of(world)
    assert objects.of(replace(world, view=LeaseView())) is first
    assert len(planned) == 1


@pytest.mark.parametrize(
    "name", [each.name for each in fields(World) if each.name not in {"view", "network"}]
)
def test_all_else_is_a_reason_to_plan_again(planned: list[World], name: str) -> None:
    objects, world = HostObjects(), crowd(3)
    objects.of(world)
    other: Any = object() if getattr(world, name) is None else None
    with pytest.MonkeyPatch.context() as context:
        context.setattr(choice, "host_objects", planned.append)
        changes: dict[str, Any] = {name: other}
        objects.of(replace(world, **changes))
    assert len(planned) == 2
