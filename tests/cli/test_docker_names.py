"""The beginning of `flanpyctl docker names --follow`: no containers where no Docker runs."""

from __future__ import annotations

from pathlib import Path

from flanpy.cli.docker.names import tell_nothing_yet
from flanpy.host import names_file
from tests.names.test_table import box


def test_host_without_a_docker_has_no_containers_until_somebody_tells_of_some(tmp_path: Path) -> None:
    path = tmp_path / "run" / "names.json"
    tell_nothing_yet(path, tmp_path / "daemon.json")
    assert names_file.load(path) == {}
    told = {"shop": (box("web", "10.96.1.2"),)}
    names_file.save(path, told)
    tell_nothing_yet(path, tmp_path / "daemon.json")
    assert names_file.load(path) == told
