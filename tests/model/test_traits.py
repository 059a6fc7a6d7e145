"""The traits of the kinds of kernel objects: each kind states its own, and the planner's rules follow from them."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from flanpy.model.objects import KernelObject, Link, OtherLink, OtherRoute, OwnLink, Setting
from flanpy.model.traits import LinkTraits, OnLink, Traits

KINDS = get_args(KernelObject)


def _below(kind: type[object]) -> set[type[object]]:
    found: set[type[object]] = {kind}
    for below in kind.__subclasses__():
        found |= _below(below)
    return found


def test_union_holds_every_kind() -> None:
    # By name: a dataclass with slots is a second class beside the one that it was made from.
    made = {one.__name__ for one in _below(Traits) if dataclasses.is_dataclass(one)}
    assert made == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_kind_is_light_and_has_its_place(kind: type[Traits]) -> None:
    assert "__dict__" not in dir(kind), "thousands of them stand in memory"
    assert isinstance(kind.phase, int)  # type: ignore[attr-defined]
    assert kind.key is not None  # type: ignore[attr-defined]


def test_links_that_we_make_and_no_others_change_in_place() -> None:
    assert {kind for kind in KINDS if issubclass(kind, LinkTraits)} == set(get_args(OwnLink))
    for kind in get_args(OwnLink):
        assert set(kind.in_place) <= {field.name for field in dataclasses.fields(kind)}


def test_settings_and_what_others_made_are_never_deleted() -> None:
    kept = {kind.__name__ for kind in KINDS if not kind.deletable}
    assert kept == {one.__name__ for one in (*get_args(Setting), OtherLink, OtherRoute)} | {
        "LinkUp",
        "WgDevice",
    }


def test_no_link_is_at_home_on_another() -> None:
    assert not any(issubclass(kind, OnLink) for kind in get_args(Link))
