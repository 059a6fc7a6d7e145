"""The collection's texts: judged by ansible-lint, and complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from integration.net.claim import PROJECT_ROOT
from tests.ansible.controller import COLLECTIONS

COLLECTION = COLLECTIONS / "ansible_collections/flanpy/overlay"
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir())
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))
BIN = Path(sys.executable).parent
_OLD_NAME = re.compile(r"\{\{ \w+ \| default\((?P<value>true|false|\d+|'[^']*'|\[[^\]]*\])\) \}\}")


def test_ansible_lint_finds_nothing_by_the_production_profile(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(BIN / "ansible-lint"), "--offline", "--nocolor", "--profile", "production", "--strict"],
        cwd=COLLECTIONS, capture_output=True, text=True, check=False, timeout=280,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'production' was required, and it passed" in done.stdout + done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_role_specifies_exactly_the_variables_that_it_has_defaults_for(role: str) -> None:
    defaults = yaml.safe_load((COLLECTION / "roles" / role / "defaults/main.yml").read_text())
    specs = yaml.safe_load((COLLECTION / "roles" / role / "meta/argument_specs.yml").read_text())[
        "argument_specs"
    ]
    options = specs["main"]["options"]
    assert {name for name, option in options.items() if not option.get("required")} == set(defaults)
    plain = {name: _plain(value) for name, value in defaults.items() if "{{" not in str(_plain(value))}
    assert len(plain) > len(defaults) / 2
    assert {name: options[name]["default"] for name in plain} == plain


def _plain(value: object) -> object:
    """Return what a default is where its name of before is not set."""
    found = _OLD_NAME.fullmatch(str(value))
    return yaml.safe_load(found["value"]) if found else value


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_has_the_collections_prefix(role: str) -> None:
    """The names etcd_user and docker_packages are those of other people's roles, too."""
    files = [path for path in (COLLECTION / "roles" / role).rglob("*.yml") if "meta" not in path.parts]
    texts = [path.read_text() for path in (*files, *(COLLECTION / "playbooks").glob("*.yml"))]
    registered = {name for text in texts for name in re.findall(r"^ *register: (\w+)", text, re.MULTILINE)}
    assert registered
    top = {name for path in files for name in _mapping(path) if path.parent.name in {"defaults", "vars"}}
    assert [name for name in sorted(registered | top) if not name.startswith(("flanpy_", "flanpyd_"))] == []


def _mapping(path: Path) -> dict[str, object]:
    found = yaml.safe_load(path.read_text())
    return found if isinstance(found, dict) else {}


@pytest.mark.parametrize("role", ROLES)
def test_role_is_told_of_in_the_collections_readme(role: str) -> None:
    assert f"`flanpy.overlay.{role}`" in (COLLECTION / "README.md").read_text()


def test_only_modules_that_come_with_ansible_are_used() -> None:
    texts = [path.read_text() for path in COLLECTION.rglob("*.yml")]
    used = {word for text in texts for word in text.split() if word.count(".") == 2 and word.endswith(":")}
    assert {word.rsplit(".", 1)[0] for word in used} == {"ansible.builtin"}


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbook_is_told_of_in_the_readme(playbook: str) -> None:
    assert f"flanpy.overlay.{playbook}" in (COLLECTIONS / "README.md").read_text()


def test_collection_builds_with_its_licence_and_its_changes(tmp_path: Path) -> None:
    subprocess.run(
        [str(BIN / "ansible-galaxy"), "collection", "build", str(COLLECTION), "--output-path", str(tmp_path)],
        capture_output=True, timeout=100, check=True, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    (built,) = tmp_path.glob("flanpy-overlay-*.tar.gz")
    with tarfile.open(built) as archive:
        licence = archive.extractfile("LICENSE")
        assert licence is not None
        assert licence.read() == (PROJECT_ROOT / "LICENSE").read_bytes()
        assert {"changelogs/changelog.yaml", "meta/runtime.yml", "README.md"} <= set(archive.getnames())
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())
    assert (
        galaxy["version"]
        in yaml.safe_load((COLLECTION / "changelogs/changelog.yaml").read_text())["releases"]
    )


def test_collection_and_package_name_the_same_places() -> None:
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())
    urls = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert galaxy["homepage"] == urls["Homepage"]
    assert galaxy["documentation"] == urls["Documentation"]
    assert galaxy["repository"] == urls["Source"]
    assert galaxy["issues"].startswith(urls["Source"])
