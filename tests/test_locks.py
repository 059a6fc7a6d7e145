"""The locks: every package that a build or a test installs stands there at one version, with its files' hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "deploy/locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILDS = (
    "integration/setup.sh",
    "deploy/building.sh",
    "deploy/debian/build.sh",
    "deploy/rpm/build.sh",
    "deploy/zipapp/build.sh",
    "Makefile",
)
_ENTRY = re.compile(
    r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ;[^\\]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def entries(lock: str) -> dict[str, str]:
    """Return versions by name; an entry of another form is an error."""
    text = "".join(
        line for line in (LOCKS / lock).read_text().splitlines(keepends=True) if not line.startswith("#")
    )
    assert _ENTRY.sub("", text) == "", lock
    return {name: version for name, version, _ in _ENTRY.findall(text)}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {_canonical(name): version for name, version in pairs}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", sorted(path.name for path in LOCKS.glob("*.txt")))
def test_lock_has_one_version_and_hashes_of_each_package_the_version_that_was_tested(lock: str) -> None:
    tested = constraints()
    found = {name: version for name, version in entries(lock).items() if name in tested}
    assert found == {name: tested[name] for name in found}


def test_locks_have_all_that_the_project_asks_for() -> None:
    def missing(wanted: list[str], *locks: str) -> set[str]:
        there = {name for lock in locks for name in entries(lock)}
        return {_canonical(re.split(r"[<>=!~\[ ]", text)[0]) for text in wanted} - there

    assert missing(PROJECT["dependencies"], "run.txt") == set()
    assert missing(PROJECT["dependencies"], "dev.txt") == set()
    for extra, wanted in PROJECT["optional-dependencies"].items():
        assert missing(wanted, "run.txt", f"extra-{extra}.txt") == set(), extra


def test_run_time_lock_is_part_of_what_is_tested() -> None:
    assert entries("run.txt").items() <= entries("dev.txt").items()


@pytest.mark.parametrize("build", BUILDS)
def test_build_fetches_nothing_without_its_hash(build: str) -> None:
    """A pip that installs is told --require-hashes, or installs our own wheel without what it depends on."""
    text = (ROOT / build).read_text().replace("\\\n", " ")
    calls = re.findall(
        r"^.*\bpip\b[^\n]*\b(?:install|wheel)\b[^\n]*$|^\s*(?:pip|quietly \"\$@\") .*$", text, re.MULTILINE
    )
    loose = [
        line.strip()
        for line in calls
        if "--require-hashes" not in line and "--no-deps" not in line and "flanpy-*.whl" not in line
    ]
    assert [line for line in loose if not line.startswith(("#", "set --", "pip()"))] == []
