"""Documents of a daemon of another version: what is there is read, what is not is empty, nothing is raised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.api.answers import ANSWERS
from flanpy.api.reading import read
from flanpy.api.status import StatusDocument

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
DOCUMENTS = {kind.__name__: kind for kind in ANSWERS.values()}


@dataclass(frozen=True, slots=True)
class Inner:
    name: str


@dataclass(frozen=True, slots=True)
class Whole:
    text: str
    count: int
    share: float
    well: bool
    inner: Inner
    perhaps: Inner | None
    size: int | None
    many: tuple[Inner, ...]
    texts: tuple[str, ...]
    counts: Mapping[str, int]


EMPTY = Whole("", 0, 0.0, False, Inner(""), None, None, (), (), {})
FULL: dict[str, Any] = {
    "text": "a",
    "count": 3,
    "share": 0.5,
    "well": True,
    "inner": {"name": "b"},
    "perhaps": {"name": "c"},
    "size": 0,
    "many": [{"name": "d"}],
    "texts": ["e"],
    "counts": {"f": 1},
}


def test_each_field_is_read_by_its_type() -> None:
    whole = Whole("a", 3, 0.5, True, Inner("b"), Inner("c"), 0, (Inner("d"),), ("e",), {"f": 1})
    assert read(Whole, {**FULL, "of a newer version": 1}) == whole
    assert json.loads(msgspec.json.encode(whole)) == FULL


@pytest.mark.parametrize("value", [None, 7, "text", [], [1], {}, {"text": None}])
def test_nothing_to_read_is_an_empty_document(value: object) -> None:
    assert read(Whole, value) == EMPTY


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 3),
        ("count", True),
        ("count", "3"),
        ("share", float("nan")),
        ("share", 10**400),
        ("well", 1),
        ("inner", []),
        ("perhaps", "c"),
        ("size", [0]),
        ("many", {"name": "d"}),
        ("texts", "e"),
        ("counts", [1]),
    ],
)
def test_value_of_another_type_is_empty(name: str, value: object) -> None:
    assert getattr(read(Whole, {**FULL, name: value}), name) == getattr(EMPTY, name)


def test_elements_of_another_type_are_left_out() -> None:
    found = read(Whole, {"many": [1, {"name": "d"}, None], "texts": ["e", 1], "counts": {"f": "x", "g": 2}})
    assert (found.many, found.texts, found.counts) == ((Inner("d"),), ("e",), {"g": 2})


@given(st.sampled_from(sorted(DOCUMENTS)), JSON)
def test_any_json_is_read_as_any_document(name: str, value: object) -> None:
    document = DOCUMENTS[name]
    assert isinstance(read(document, value), document)


@given(st.dictionaries(st.sampled_from([field.name for field in fields(StatusDocument)]), JSON))
def test_any_value_of_a_field_is_read(value: dict[str, object]) -> None:
    found = read(StatusDocument, value)
    again = read(StatusDocument, json.loads(msgspec.json.encode(found)))
    assert again == found


def test_every_document_is_of_types_that_are_read() -> None:
    for document in DOCUMENTS.values():
        assert get_type_hints(document)
        assert read(document, {}) == read(document, None)
