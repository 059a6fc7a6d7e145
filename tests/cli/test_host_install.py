"""`flanpyctl host install`, without touching the host: the files it would write, and the places it refuses."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from flanpy.cli.config.host_files import DEFAULTS, wanted
from flanpy.cli.config.host_program import problem
from tests.cli.conftest import Ctl


def test_every_file_stands_in_an_administrators_directory_and_names_the_programs_where_they_are() -> None:
    files = {str(file.place): file for file in wanted(Path("/opt/x/bin"))}
    assert all(place.startswith(("/etc/", "/usr/local/")) for place in files)
    assert not any(b"/usr/bin/flanpy" in file.content for file in files.values())
    unit = files["/etc/systemd/system/flanpyd.service"]
    assert b"\nExecStart=/opt/x/bin/flanpyd\n" in unit.content
    assert (
        b"ExecStart=/opt/x/bin/flanpyctl docker" in files["/etc/systemd/system/flanpy-docker.service"].content
    )


def test_only_the_settings_file_is_the_operators_and_closed_to_others() -> None:
    theirs = [file for file in wanted(Path("/opt/x/bin")) if file.is_the_operators]
    assert [(file.place, file.mode) for file in theirs] == [(PurePosixPath(DEFAULTS), 0o640)]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/root/.local/share/pipx/venvs/flanpy/bin/flanpyd", "the service sees nothing of /root"),
        ("/home/ann/.local/bin/flanpyd", "the service sees nothing of /home"),
        ("/opt/my tools/bin/flanpyd", "its path has characters"),
        ("/opt/100%/bin/flanpyd", "its path has characters"),
        ("/var/tmp/x/bin/flanpyd", "the service sees nothing of /var/tmp"),
    ],
)
def test_place_that_the_service_cannot_run_from_is_refused_by_its_reason(path: str, said: str) -> None:
    assert problem(Path(path)).startswith(said)


def test_program_of_the_system_can_be_run() -> None:
    assert problem(Path("/usr/bin/env")) == ""


def test_refusal_is_one_line_and_says_what_to_do(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    ended = ctl("host", "install", "--dry-run")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"flanpyctl: {tmp_path} has no flanpyd: ")
    assert "/opt/flanpy/bin/pip install flanpy" in ended.err
