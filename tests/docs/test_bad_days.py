"""The bad days of named networks: each row of the design's table names tests that are there, or says why none is."""

from __future__ import annotations

import re

import pytest

from tests.docs.test_threats import ROOT, functions

PAGE = (ROOT / "docs/design/networks.md").read_text()
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[list[str]]:
    """Return the cells of the table of bad days."""
    part = PAGE.partition("## Bad days and their tests")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("path", "name"), sorted(set(_NAMED.findall(PAGE))))
def test_test_that_shows_a_bad_day_is_there(path: str, name: str) -> None:
    assert (ROOT / path).is_file()
    assert not name or name in functions(path)


def test_each_bad_day_has_a_test_or_a_reason() -> None:
    assert len(rows()) >= 30
    for what, then, shown in rows():
        assert what
        assert then
        assert shown.startswith("no test") or _NAMED.search(shown), what
