"""The files of names: what is written is read back, and whatever else stands there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from flanpy.host import names_file, names_view_file
from tests.names.test_table import box
from tests.names.test_view import WEB

BOXES = {"shop": (box("web", "10.96.1.2", "fd96::2", aliases=("svc",)),), "bridge": ()}
BROKEN = [b"", b"{", b"[]", b"{}", b"\xff", b'{"Networks":[]}', b'{"Networks":{"a":[[1,2,3]]}}', b"[" * 9999]


def test_roots_file_stands_beside_the_run_directory(tmp_path: Path) -> None:
    assert str(names_file.path_of(Path("/run/flanpy"))) == "/run/flanpy-docker/names.json"
    path = names_file.path_of(tmp_path / "run")
    assert names_file.load(path) is None
    assert names_file.save(path, BOXES)
    assert names_file.load(path) == BOXES
    assert not names_file.save(path, BOXES)


def test_view_is_kept_for_this_node_alone(tmp_path: Path) -> None:
    assert names_view_file.load(tmp_path, "n1") == ()
    assert names_view_file.save(tmp_path, "n1", (WEB,))
    assert names_view_file.load(tmp_path, "n1") == (WEB,)
    assert names_view_file.load(tmp_path, "n9") == ()


@pytest.mark.parametrize("octets", BROKEN, ids=lambda octets: octets[:12].decode(errors="replace"))
def test_broken_files_are_nothing(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(octets)
    (tmp_path / names_view_file.FILE_NAME).write_bytes(octets)
    assert names_file.load(path) is None
    assert names_view_file.load(tmp_path, "n1") == ()
    assert names_file.load(tmp_path) is None
