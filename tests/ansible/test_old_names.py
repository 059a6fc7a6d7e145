"""Variables by their names of before: read for one version more where the new name is not set, and warned of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible.controller import COLLECTIONS

BIN = Path(sys.executable).parent
ROLES = COLLECTIONS / "ansible_collections/flanpy/overlay/roles"
OF_OTHERS: dict[str, dict[str, object]] = {
    "etcd": {"etcd_user": "earlier", "etcd_password": "p", "etcd_root_password": "p", "etcd_tls": False},
    "docker": {"docker_mode": "network", "docker_packages": ["docker-ce"]},
    "pki": {"pki_days": 7},
    "flanpyd": {"docker_restart": "always", "etcd_address": "192.0.2.9"},
}


def _played(directory: Path, role: str, **variables: Any) -> tuple[str, dict[str, Any]]:
    """Let a role look at its variables: what it says, and the values of its defaults."""
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    look = {"name": f"flanpy.overlay.{role}", "tasks_from": "old_names.yml", "public": True}
    values = {name: f"{{{{ {name} }}}}" for name in defaults}
    copy = {"content": "{{ told | to_json }}", "dest": str(directory / "told.json")}
    tasks = [
        {"ansible.builtin.include_role": look},
        {"ansible.builtin.copy": copy, "vars": {"told": values}},
    ]
    play = directory / "play.yml"
    play.write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}])
    )
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), "-c", "local", "-i", "localhost,",
         "-e", f"ansible_python_interpreter={sys.executable}", str(play)],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "HOME": str(directory), "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return done.stdout, json.loads((directory / "told.json").read_text())


@pytest.mark.timeout(200)
@pytest.mark.parametrize("role", OF_OTHERS)
def test_names_of_before_are_read_and_warned_of(role: str, tmp_path: Path) -> None:
    said, values = _played(tmp_path, role, **OF_OTHERS[role])
    for name, value in OF_OTHERS[role].items():
        assert f"{name} is a name that other roles have, too: call it flanpy_{name}" in said
        if role != "flanpyd":
            assert values[f"flanpy_{name}"] == value
    assert not list(tmp_path.rglob("etcd-password"))


@pytest.mark.timeout(200)
def test_new_name_wins_over_another_roles_variable_and_nothing_is_warned_of_without_one(
    tmp_path: Path,
) -> None:
    _, values = _played(
        tmp_path, "docker", docker_packages=["docker-ce"], flanpy_docker_packages=["docker.io"]
    )
    assert values["flanpy_docker_packages"] == ["docker.io"]
    said, values = _played(tmp_path, "docker", docker_users=["me"])
    assert "WARNING" not in said
    assert values["flanpy_docker_mode"] == "bip"


@pytest.mark.parametrize("role", ["docker", "etcd", "pki"])
def test_every_default_has_its_name_of_before(role: str) -> None:
    """The pattern that is warned of and the defaults that are read are the same."""
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    variables = yaml.safe_load((ROLES / role / "vars/main.yml").read_text())
    endings = variables.get(f"flanpy_{role}_old_endings", [])
    pattern = variables[f"flanpy_{role}_old_names"]
    listed = endings or pattern.strip().removeprefix(f"^{role}_(").removesuffix(")$").split("|")
    assert [f"flanpy_{role}_{ending}" for ending in listed] == list(defaults)
    for name, value in defaults.items():
        assert value.strip().startswith("{{ " + name.removeprefix("flanpy_")), name
