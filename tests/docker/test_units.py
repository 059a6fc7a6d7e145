"""The units beside docker.service, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
OURS = sorted(UNITS.glob("flanpy-docker*"))
SYSTEMD = shutil.which("systemd-analyze")


def test_units_are_there() -> None:
    names = ["flanpy-docker-changed.service", "flanpy-docker-links.path", "flanpy-docker-links.service"]
    names += ["flanpy-docker-names.service", "flanpy-docker-networks.path", "flanpy-docker-networks.service"]
    names += ["flanpy-docker.path", "flanpy-docker.service"]
    assert [unit.name for unit in OURS] == names


@pytest.mark.skipif(SYSTEMD is None, reason="no systemd here")
def test_units_are_clean_to_systemd(tmp_path: Path) -> None:
    for unit in OURS:
        # Where flanpyctl is not installed the verdict would be about that.
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/flanpyctl", "/bin/true"))
    done = subprocess.run(
        [str(SYSTEMD), "verify", *(str(tmp_path / unit.name) for unit in OURS)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_p30_unit_before_docker_never_asks_or_restarts_it_as_docker_waits_for_it() -> None:
    before = (UNITS / "flanpy-docker.service").read_text()
    assert re.search(r"^Before=docker\.service$", before, re.MULTILINE)
    assert re.search(r"^After=flanpyd\.service$", before, re.MULTILINE)
    assert re.search(r"^ExecStart=\S+ docker apply --before-start --restart=never$", before, re.MULTILINE)
    assert "RemainAfterExit=yes" in before
    after = (UNITS / "flanpy-docker-changed.service").read_text()
    assert "Before=" not in after


@pytest.mark.skipif(SYSTEMD is None, reason="no systemd here")
@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_services_are_confined_to_what_they_need(unit: Path) -> None:
    """An exposure below 3, as systemd reckons it (10 is a service with no setting at all)."""
    done = subprocess.run(
        [str(SYSTEMD), "security", "--offline=true", "--threshold=30", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
