"""The known problems: one id has one meaning and one page, and whatever tells of trouble has an id."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from docs.generate.conditions import all_verdicts
from flanpy.doctor.registry import CHECKS
from flanpy.model.condition import ConditionType
from flanpy.model.problem import BY_REASON, DOCS, OF_CONDITION, OF_TROUBLE, PROBLEMS, problem_of
from flanpy.model.reach import Trouble

ROOT = Path(__file__).parents[2]


def test_each_id_has_one_meaning_and_one_page() -> None:
    assert list(PROBLEMS) == [f"P{number:02}" for number in range(1, len(PROBLEMS) + 1)]
    assert len({known.meaning for known in PROBLEMS.values()}) == len(PROBLEMS)
    pages = {path.stem for path in (ROOT / "docs/reference").glob("P[0-9][0-9].md")}
    assert pages == set(PROBLEMS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Documentation"] == DOCS


def test_every_condition_and_every_trouble_of_a_peer_is_a_problem() -> None:
    assert set(OF_CONDITION) == set(ConditionType)
    assert set(OF_TROUBLE) == set(Trouble)
    assert {*OF_CONDITION.values(), *OF_TROUBLE.values()} <= set(PROBLEMS)


def test_every_problem_that_is_checked_or_named_anywhere_is_in_the_list() -> None:
    assert {check.id for check in CHECKS} <= set(PROBLEMS)
    for folder in ("flanpy", "integration", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md"}:
                assert set(re.findall(r"\bP\d\d\b", path.read_text())) <= set(PROBLEMS), path


def test_narrower_problems_are_of_reasons_that_conditions_have() -> None:
    reasons = {(each.kind, each.reason) for each in all_verdicts() if not each.healthy}
    assert {(kind.name, reason) for kind, reason in BY_REASON} <= reasons


@pytest.mark.parametrize(
    ("troubles", "id_"),
    [([Trouble.PORT_BLOCKED], "P06"), ([Trouble.PEER_DOWN], "P36"), ([], "P37"), ([Trouble.LOSS], "P37")],
    ids=str,
)
def test_peer_out_of_reach_is_the_problem_that_its_probes_found(troubles: list[Trouble], id_: str) -> None:
    assert problem_of(ConditionType.PEERS_REACHABLE, "Unreachable", troubles).id == id_
