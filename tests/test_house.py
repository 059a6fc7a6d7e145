"""The limits of the house: sizes that keep a file readable, and no import circles."""

from __future__ import annotations

import pytest

from tests.house import TREES, bookish, circle, measure, private_names


@pytest.mark.parametrize("tree", TREES)
def test_tree_has_no_import_circle(tree: str) -> None:
    assert circle(tree) == []


def test_product_keeps_to_small_files_and_functions() -> None:
    house = measure("flanpy")
    functions = sorted(house.functions)
    assert max(house.files) <= 420
    assert functions[int(len(functions) * 0.99)] <= 30
    assert max(house.parameters) <= 10


@pytest.mark.parametrize("tree", TREES)
def test_docstrings_begin_with_a_verb_or_with_the_thing_itself(tree: str) -> None:
    assert measure(tree).relative == []


@pytest.mark.parametrize("tree", ["flanpy", "integration"])
def test_names_are_words_of_the_field(tree: str) -> None:
    assert list(private_names(tree)) == []


@pytest.mark.parametrize("tree", ["flanpy", "integration", "bench", "docs", "deploy"])
def test_prose_is_plain(tree: str) -> None:
    assert list(bookish(tree)) == []
