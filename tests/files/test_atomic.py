"""Atomic files, on real file systems: full, read-only, and not ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.errors import HostError
from flanpy.files import atomic

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


def test_write_makes_the_file_and_its_directories_readable_by_all_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "subnet.env"
    old = os.umask(0o077)
    try:
        assert atomic.write(path, b"x")
    finally:
        os.umask(old)
    assert path.read_bytes() == b"x"
    assert [p.stat().st_mode & 0o7777 for p in (path, path.parent, path.parent.parent)] == [
        0o644,
        0o755,
        0o755,
    ]


def test_write_leaves_the_file_alone_when_it_holds_the_content_already(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert atomic.write(path, b"x")
    before = path.stat()
    assert not atomic.write(path, b"x")
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_write_restores_the_mode_when_only_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "f"
    atomic.write(path, b"x")
    path.chmod(0o666)
    assert atomic.write(path, b"x", mode=0o600)
    assert path.stat().st_mode & 0o7777 == 0o600


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_write_replaces_any_content_and_leaves_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes
) -> None:
    path = tmp_path_factory.mktemp("atomic") / "f"
    atomic.write(path, old)
    assert atomic.write(path, new) == (old != new)
    assert path.read_bytes() == new
    assert [entry.name for entry in path.parent.iterdir()] == ["f"]


def test_write_never_touches_the_old_inode_so_that_a_reader_sees_one_or_the_other(tmp_path: Path) -> None:
    path = tmp_path / "f"
    atomic.write(path, b"old")
    with path.open("rb") as reader:
        atomic.write(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_write_keeps_a_symbolic_link_and_replaces_its_target(tmp_path: Path) -> None:
    target, link = tmp_path / "real" / "f", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    atomic.write(link, b"dangling")
    atomic.write(link, b"there")
    assert link.is_symlink()
    assert target.read_bytes() == b"there"


def test_write_names_the_path_and_the_cure_when_a_parent_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(HostError, match=r"cannot write '.*/f/g': Not a directory; choose a path"):
        atomic.write(tmp_path / "f" / "g", b"x")


def test_write_names_the_path_and_leaves_nothing_when_the_target_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "d" / "inner").mkdir(parents=True)
    with pytest.raises(HostError, match="Is a directory; remove"):
        atomic.write(tmp_path / "d", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


# Runs in a mount namespace of its own, so that the mount is gone with the process, however it ends.
_ON_TMPFS = """
import os, subprocess, sys
from pathlib import Path
from flanpy.errors import HostError
from flanpy.files import atomic
directory, fault = Path(sys.argv[1]), sys.argv[2]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=20", "tmpfs", directory], check=True)
path = directory / "subnet.env"
atomic.write(path, b"old")
if fault == "full":
    (directory / "ballast").write_bytes(b"x" * 56 * 1024)
elif fault == "inodes":
    for number in range(100):
        try:
            (directory / str(number)).touch()
        except OSError:
            break
else:
    subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
try:
    atomic.write(path, b"y" * 16384)
except HostError as error:
    print(error)
assert path.read_bytes() == b"old"
assert not list(directory.glob(".*")), "a temporary file stayed"
"""


@root_only
@pytest.mark.netns
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("full", "No space left on device; free some space there"),
        ("inodes", "No space left on device; free some space there"),
        ("readonly", "Read-only file system; choose a directory that can be written"),
    ],
)
def test_write_keeps_the_old_file_and_leaves_no_other_when_the_disk_refuses(
    tmp_path: Path, fault: str, words: str
) -> None:
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        sys.executable,
        "-c",
        _ON_TMPFS,
        str(tmp_path),
        fault,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout == f"cannot write '{tmp_path}/subnet.env': {words}\n"


_AS_NOBODY = """
import os, sys
from pathlib import Path
from flanpy.errors import HostError
from flanpy.files import atomic
os.setgid(65534)
os.setuid(65534)
try:
    atomic.write(Path(sys.argv[1]), b"x")
except HostError as error:
    print(error)
"""


@root_only
def test_write_names_the_cure_when_the_user_may_not_write_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _AS_NOBODY, str(tmp_path / "f")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert f"cannot write '{tmp_path}/f': Permission denied; let flanpyd's user write there" in done.stdout
