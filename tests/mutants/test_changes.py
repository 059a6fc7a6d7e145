"""The changes that a mutation pass makes."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.changes import changes
from tests.mutants.equivalent import known, stale


def made(source: str) -> set[str]:
    """Return every text that a change turns the last statement's first line into."""
    return {change.text().partition("  =>  ")[2] for change in changes(ast.parse(source))}


@pytest.mark.parametrize(
    ("body", "some"),
    [
        ("return a < 1", {"return a <= 1", "return a >= 1", "return a < 2", "return None"}),
        ("return a and not b", {"return a or not b", "return a", "return not b", "return a and b"}),
        ("return [x for x in a if x]", {"return [x for x in a]"}),
        ("return any(a, key=b)", {"return all(a, key=b)", "return any(a)"}),
        ("if a: b()", {"if True:", "if False:"}),
        ("a.append(b)", {"pass"}),
        ("return a + 1 if b else a", {"return a", "return a + 1", "return a - 1 if b else a"}),
    ],
)
def test_function_is_changed_one_thing_at_a_time(body: str, some: set[str]) -> None:
    assert some <= made(f"def f(a, b):\n    {body}\n")


@pytest.mark.parametrize("body", ['"""Text."""', "assert a < 1", 'log.info("x", a=1)'])
def test_words_for_people_are_left_alone(body: str) -> None:
    assert made(f"def f(a):\n    {body}\n") == set()


def test_change_to_what_says_the_same_is_not_made() -> None:
    assert made("def f(a):\n    return False\n") == {"return True"}
    assert made("def f(a):\n    b = zip(a, strict=True)\n") == set()


def test_change_that_is_known_as_equivalent_has_a_reason_and_stays_known_while_it_can_be_made() -> None:
    assert all(reason for reasons in known().values() for reason in reasons.values())
    tree = ast.parse("def f(a):\n    return a < 1\n")
    assert stale(tree, {"f: return a < 1  =>  return a <= 1": "", "f: return b  =>  return None": ""}) == [
        "f: return b  =>  return None"
    ]
