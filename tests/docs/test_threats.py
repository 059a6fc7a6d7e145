"""The threat model names a test for each border, and each of them is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/explanation/security.md").read_text()
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_BARE = re.compile(r"`(test_\w+\.py)`")


@cache
def functions(path: str) -> frozenset[str]:
    found = ast.walk(ast.parse((ROOT / path).read_text()))
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def rows() -> list[list[str]]:
    """Return the cells of the table of who is trusted with what."""
    part = PAGE.partition("## Who is trusted with what")[2].partition("\n### ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("path", "name"), sorted(set(_NAMED.findall(PAGE))))
def test_test_that_the_page_names_is_there(path: str, name: str) -> None:
    assert (ROOT / path).is_file()
    assert not name or name in functions(path)


def test_files_named_without_their_directory_are_there() -> None:
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(_BARE.findall(PAGE)) - there == set()


def test_each_of_those_who_are_named_has_a_worst_case_and_a_test_or_owns_the_host() -> None:
    assert len(rows()) >= 12
    for who, trusted, worst, shown in rows():
        assert trusted
        assert worst
        assert _NAMED.search(shown) or (shown == "-" and ("root" in who or "host's network" in who)), who
