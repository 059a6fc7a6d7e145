"""The project's papers agree with each other: metadata, hooks, workflow, licence."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from flanpy import __version__
from integration.net.claim import PROJECT_ROOT

PROJECT: dict[str, Any] = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


def _steps(makefile: str, target: str) -> list[str]:
    """The commands of a target that may fail it."""
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    return re.findall(r"^\t(\S.*?) \|\| status=1", recipe[1], re.MULTILINE)


def test_hooks_before_a_commit_are_the_steps_of_make_lint() -> None:
    (repo,) = yaml.safe_load((PROJECT_ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repo["hooks"]] == _steps(
        (PROJECT_ROOT / "Makefile").read_text(), "lint"
    )
    for hook in repo["hooks"]:
        assert (hook["language"], hook["pass_filenames"], hook["always_run"]) == ("system", False, True)


def test_workflow_runs_the_checks_on_every_python_that_is_declared_and_all_tests_once() -> None:
    jobs = yaml.safe_load((PROJECT_ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))
    assert jobs["check"]["strategy"]["matrix"]["python"] == declared
    assert PROJECT["project"]["requires-python"] == f">={declared[0]}"
    commands = {name: [step.get("run") for step in job["steps"]] for name, job in jobs.items()}
    assert "make check" in commands["check"]
    assert "make test" in commands["test"]


def test_licence_is_the_whole_text_of_the_one_that_is_declared() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert hashlib.sha256((PROJECT_ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_version_is_the_newest_of_the_changelog() -> None:
    versions = re.findall(
        r"^## \[?(\d+\.\d+\.\d+)", (PROJECT_ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert versions[0] == __version__


def test_every_group_and_extra_is_pinned() -> None:
    pinned = {
        _canonical(line.split("==")[0])
        for line in (PROJECT_ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [
        text
        for group in (PROJECT["project"]["dependencies"], *extras, *PROJECT["dependency-groups"].values())
        for text in group
    ]
    names = {_canonical(re.split(r"[<>=!~\[ ]", text)[0]) for text in wanted if isinstance(text, str)}
    assert names - pinned == set()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_links_of_a_paper_lead_to_files_of_the_repository(page: str) -> None:
    text = (PROJECT_ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (PROJECT_ROOT / target).exists(), target


def test_contributing_names_every_marker_and_only_targets_that_exist() -> None:
    text = (PROJECT_ROOT / "CONTRIBUTING.md").read_text()
    markers = [one.split(":")[0] for one in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == markers
    targets = set(re.findall(r"^([a-z-]+):", Path(PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) - targets == set()
    named = re.findall(r"pytest (tests/\S+\.py)", text)
    assert named
    assert all((PROJECT_ROOT / one).exists() for one in named)


def test_design_page_lists_the_layers_that_are_enforced_and_every_package() -> None:
    page = (PROJECT_ROOT / "DESIGN.md").read_text()
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (layers,) = (one["layers"] for one in contracts if one["name"].startswith("Layers"))
    assert "\n".join(layers) in page
    packages = {path.parent.name for path in (PROJECT_ROOT / "flanpy").glob("*/__init__.py")}
    assert {name for name in packages if f"flanpy/{name}/" not in page} == {"log"}  # among the small ones
    assert len(page.splitlines()) <= 150


def test_readme_is_a_front_page() -> None:
    text = (PROJECT_ROOT / "README.md").read_text()
    assert len(text.encode()) <= 6000
    for target in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (PROJECT_ROOT / target).exists(), target
