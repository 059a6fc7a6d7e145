"""The role's judgement of etcd's version: the same as doctor's, for every line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flanpy.doctor import etcd_versions
from tests.ansible.controller import COLLECTIONS

ROLE = COLLECTIONS / "ansible_collections/flanpy/overlay/roles/etcd"
BIN = Path(sys.executable).parent
VERSIONS = (
    "3.4.23", "3.4.99", "3.5.1", "3.5.3", "3.5.30", "3.5.32", "3.5.33", "3.5.100", "3.6.0", "3.6.13", "3.6.14",
    "3.7.0", "3.7.1", "3.8.0", "3.50.0", "4.0.0",
)  # fmt: skip


def _play(directory: Path, versions: tuple[str, ...], policy: str) -> subprocess.CompletedProcess[str]:
    """Let the role look at programs that say these versions, one after the other."""
    for version in versions:
        (program := directory / version / "etcd").parent.mkdir(parents=True)
        program.write_text(
            f"#!/bin/sh\nprintf 'etcd Version: {version}\\nGit SHA: 3e1e2e9\\nGo Version: go1.24.9\\n'\n"
        )
        program.chmod(0o755)
    look = {"name": "flanpy.overlay.etcd", "tasks_from": "version.yml"}
    task = {
        "ansible.builtin.include_role": look,
        "vars": {"flanpy_etcd_bin_dir": f"{directory}/{{{{ item }}}}", "flanpy_etcd_unsafe_version": policy},
        "loop": list(versions),
    }
    play = directory / "play.yml"
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    return subprocess.run(
        [str(BIN / "ansible-playbook"), "-c", "local", "-i", "localhost,",
         "-e", f"ansible_python_interpreter={sys.executable}", str(play)],
        capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "HOME": str(directory), "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)},
    )  # fmt: skip


def test_role_has_the_minimal_versions_that_doctor_has() -> None:
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    wanted = [".".join(map(str, version)) for version in etcd_versions.MINIMAL.values()]
    assert variables["flanpy_etcd_minimal"] == wanted


@pytest.mark.timeout(300)
def test_role_warns_of_exactly_the_versions_that_doctor_tells_of(tmp_path: Path) -> None:
    done = _play(tmp_path, VERSIONS, "warn")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    warned = [version for version in VERSIONS if f"has etcd {version}, in which" in done.stdout]
    parsed = {version: etcd_versions.parsed(version) for version in VERSIONS}
    assert warned == [
        version for version, numbers in parsed.items() if numbers and etcd_versions.troubles(numbers)
    ]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("version", "code"), [("3.5.32", 2), ("3.6.14", 0)])
def test_role_stops_at_an_unsafe_version_when_told_to(tmp_path: Path, version: str, code: int) -> None:
    done = _play(tmp_path, (version,), "refuse")
    assert done.returncode == code, done.stdout[-4000:] + done.stderr
    assert (f"localhost has etcd {version}, in which" in done.stdout) == bool(code)
