"""The reference is what the code says now, whole, and builds without a warning together with all other pages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from docs.generate import conditions, http, log, metrics, source, systems
from docs.generate.programs import exit_codes, flanpyctl
from docs.generate.reference import pages
from flanpy.api.answers import ANSWERS
from flanpy.api.reading import read
from flanpy.cli.base.exits import Exit
from flanpy.config.options import OPTIONS
from flanpy.model.condition import ConditionType
from integration.hosts.engines import FETCHED, SYSTEM

DOCS = Path(__file__).parents[2] / "docs"
STALE = "docs/reference/{} is stale: run make reference"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_reference_is_what_the_code_says(made: dict[str, str]) -> None:
    kept = {path.name: path.read_text() for path in (DOCS / "reference").iterdir()}
    assert kept.keys() == made.keys(), STALE.format("")
    for name, text in made.items():
        assert kept[name] == text, STALE.format(name)


def test_reference_has_every_setting_with_all_of_its_names(made: dict[str, str]) -> None:
    page = made["configuration.md"]
    for option in OPTIONS:
        entry = page.partition(f"\n### {option.name}\n")[2].partition("\n##")[0]
        assert all(f"`{name}`" in entry for name in option.env), option.name
        assert f"`--{option.name}" in entry, option.name


def test_reference_has_every_command_and_exit_code(made: dict[str, str]) -> None:
    page = made["flanpyctl.md"]
    for command in flanpyctl().below:
        for each in command.all():
            assert f"\n## {each.path}\n" in page
            assert each.examples or each.below, f"{each.path} has no example"
    assert [code for code, _ in exit_codes()] == [int(each) for each in Exit]


def test_every_argument_of_every_command_is_explained() -> None:
    unexplained = [
        f"{command.path} {argument.words}"
        for command in flanpyctl().all()
        for argument in command.arguments
        if not argument.meaning
    ]
    assert unexplained == []


@pytest.mark.parametrize("kind", ConditionType, ids=lambda kind: kind.value)
def test_every_condition_has_a_well_and_a_bad_reason(kind: ConditionType) -> None:
    own = [each for each in conditions.all_verdicts() if each.kind == kind.name]
    assert {each.healthy for each in own} == {True, False}


def test_reference_has_every_reason_that_the_code_can_give(made: dict[str, str]) -> None:
    """By another way than the generator's: whatever looks like a reason in the judges' text."""
    judges = "".join(
        path.read_text() for path in (source.CODE / "status/judge").glob("*.py") if path.stem != "verdict"
    )
    reasons = set(re.findall(r'(?:good|bad|unknown|unmeasured)\(\s*kind,\s*"([A-Z]\w+)"', judges))
    assert len(reasons) > 40
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in made["conditions.md"]] == []


def test_reference_has_every_metric_with_a_type() -> None:
    told = metrics.families()
    assert len(told) > 60
    assert [family.name for family in told if family.kind in {"", "unknown", "untyped"}] == []


def test_reference_has_every_log_line_of_the_daemon(made: dict[str, str]) -> None:
    events = {line.event for line in log.lines()}
    assert {"daemon_started", "lease_acquired", "datastore_lost"} <= events
    assert all(f"`{event}`" in made["log.md"] for event in events)


def test_reference_has_every_request_that_is_answered(made: dict[str, str]) -> None:
    text = "".join((source.CODE / name).read_text() for name in ("status/http/server.py", "page/app.py"))
    paths = set(re.findall(r'add_(?:get|post)\("([^"]+)"', text))
    assert {"/healthz", "/v1/status", "/"} <= paths
    assert [path for path in sorted(paths) if f" {path}`" not in http.page()] == []
    served = made["http.md"].count("| `GET ") + made["http.md"].count("| `POST ")
    assert (
        served == len(re.findall(r"\.add_(?:get|post)\(", text)) - 1
    )  # but for the page's files, added in a loop


def test_examples_fit_their_documents_by_name_and_type(made: dict[str, str]) -> None:
    examples = {path: kind for path, kind in ANSWERS.items() if path in source.sample("answers.json")}
    assert examples.keys() >= {"/v1/status", "/v1/subnets", "/v1/peers", "/v1/events"}
    for path, kind in examples.items():
        example = json.loads(source.sample("answers.json"))[path]
        assert msgspec.to_builtins(msgspec.convert(example, kind)) == msgspec.to_builtins(read(kind, example))
        assert f"### {kind.__name__}\n" in made["http.md"]
        assert json.loads(made["http.schema.json"])["$defs"][kind.__name__]["properties"].keys() == {
            field.name for field in fields(kind)
        }


def test_a_member_without_words_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kinds.py").write_text('class Kind:\n    A = "a"\n    """What a is."""\n    B = "b"\n')
    monkeypatch.setattr(source, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"kinds\.py: Kind\.B has no docstring"):
        source.members("kinds.py", "Kind")


def test_documentation_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(tmp_path / "kept"), "-b", "html",
         str(DOCS), str(tmp_path / "html")],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert built.stderr == ""
    assert built.returncode == 0
    assert (tmp_path / "html/reference/configuration.html").is_file()
    page = (tmp_path / "html/index.html").read_text()
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//[^"]+', page) == []


def test_engines_named_as_tested_are_those_of_the_lab() -> None:
    assert (SYSTEM, *FETCHED) == systems.ENGINES
