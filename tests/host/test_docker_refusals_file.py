"""The file of what Docker refused: what is written is read back, and whatever else stands there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from flanpy.host import docker_refusals_file

REFUSED = {"shop": "Docker refused: Pool overlaps", "lab": "held by db"}


def test_file_stands_beside_the_names_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert str(docker_refusals_file.path_of(Path("/run/flanpy"))) == "/run/flanpy-docker/docker-refusals.json"
    path = docker_refusals_file.path_of(tmp_path / "run")
    assert docker_refusals_file.load(path) == {}
    assert docker_refusals_file.save(path, REFUSED)
    assert docker_refusals_file.load(path) == REFUSED
    assert not docker_refusals_file.save(path, REFUSED)
    assert docker_refusals_file.save(path, {})
    assert docker_refusals_file.load(path) == {}


@pytest.mark.parametrize(
    "octets",
    [b"", b"{", b"[]", b"{}", b"\xff", b'{"Refused":[1]}', b'{"Refused":{"a":1}}', b'{"Refused":{"a":"\\u001b"}}',
     b"[" * 9999],
)  # fmt: skip
def test_broken_file_is_nothing(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "docker-refusals.json"
    path.write_bytes(octets)
    assert docker_refusals_file.load(path) == {}
    assert docker_refusals_file.load(tmp_path) == {}


def test_long_words_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "docker-refusals.json"
    docker_refusals_file.save(path, {"shop": "x" * 9999})
    assert docker_refusals_file.load(path) == {"shop": "x" * 500}
