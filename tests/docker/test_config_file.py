"""daemon.json on disk is the old file or the new one, whatever happens in between, and keeps its looks."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from flanpy.docker import config_file
from flanpy.errors import DockerError
from flanpy.files import atomic

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")

OLD = b'{"debug": true}\n'
NEW = b'{"debug": true, "bip": "10.50.7.1/24"}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "docker" / "daemon.json"
    file.parent.mkdir()
    file.write_bytes(OLD)
    return file


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_replace_keeps_mode_and_owner_and_leaves_a_backup(path: Path) -> None:
    path.chmod(0o440)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    before = path.stat()
    config_file.replace(config_file.read(path), NEW)
    after = path.stat()
    assert path.read_bytes() == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert (path.parent / "daemon.json.flanpy-backup").read_bytes() == OLD
    assert names(path) == ["daemon.json", "daemon.json.flanpy-backup"]


def test_replace_keeps_extended_attributes(path: Path) -> None:
    try:
        os.setxattr(path, "user.flanpy-test", b"kept")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    config_file.replace(config_file.read(path), NEW)
    assert os.getxattr(path, "user.flanpy-test") == b"kept"


def test_replace_makes_a_file_and_its_directory_where_there_was_none(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "docker" / "daemon.json"
    found = config_file.read(path)
    assert found.content is None
    config_file.replace(found, NEW)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert config_file.read_backup(found) == config_file.NO_FILE
    config_file.put_back(found)
    assert not path.exists()


def test_replace_goes_through_a_symbolic_link_and_keeps_it(tmp_path: Path, path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    config_file.replace(config_file.read(link), NEW)
    assert link.is_symlink()
    assert path.read_bytes() == NEW
    assert names(link) == ["docker", "link.json"]


def test_read_refuses_a_dangling_link_naming_where_it_leads(tmp_path: Path) -> None:
    link = tmp_path / "daemon.json"
    link.symlink_to(tmp_path / "gone.json")
    with pytest.raises(DockerError, match=r"gone\.json"):
        config_file.read(link)


def test_read_refuses_a_circle_of_links(tmp_path: Path) -> None:
    link = tmp_path / "daemon.json"
    link.symlink_to(link)
    with pytest.raises(DockerError, match="circle"):
        config_file.read(link)


@pytest.mark.parametrize("kind", ["directory", "pipe", "child of a file"])
def test_read_refuses_what_is_no_regular_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "daemon.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(OLD)
        path /= "daemon.json"
    with pytest.raises(DockerError, match=r"daemon\.json"):
        config_file.read(path)


def test_replace_leaves_a_file_alone_that_somebody_changed_meanwhile(path: Path) -> None:
    found = config_file.read(path)
    path.write_bytes(b'{"edited": true}')
    with pytest.raises(DockerError, match="another program"):
        config_file.replace(found, NEW)
    assert path.read_bytes() == b'{"edited": true}'


def test_held_lets_one_at_a_time_in_and_does_not_wait_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_file, "_LOCK_PATIENCE_S", 0.1)
    with config_file.held(path), pytest.raises(DockerError, match="at work"), config_file.held(path):
        pytest.fail("two at a time")
    with config_file.held(path):
        descriptor = os.open(path.parent, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


# kill -9 at every line of the writing code


def _die_at_line(number: int) -> Any:
    """A trace function that ends the process before the `number`th line of the module under test is executed."""
    left = number

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in {config_file.__file__, atomic.__file__}:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def _replace_and_die(path: Path, number: int) -> bool:
    """Run a child that replaces the file; report whether it was killed at that line."""
    child = os.fork()
    if child == 0:
        try:
            sys.settrace(_die_at_line(number))
            config_file.replace(config_file.read(path), NEW)
        finally:
            sys.settrace(None)
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_kill_at_any_step_leaves_the_old_file_or_the_new_one_and_a_backup_of_the_old(tmp_path: Path) -> None:
    outcomes: list[tuple[bytes, bytes | None]] = []
    for number in range(500):
        path = tmp_path / str(number) / "daemon.json"
        path.parent.mkdir()
        path.write_bytes(OLD)
        path.chmod(0o600)
        killed = _replace_and_die(path, number)
        backup = path.with_name("daemon.json.flanpy-backup")
        outcomes.append((path.read_bytes(), backup.read_bytes() if backup.exists() else None))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        if not killed:
            break
    else:
        pytest.fail("the child was killed at every line")
    assert len(outcomes) > 30
    contents = [content for content, _ in outcomes]
    first_new = contents.index(NEW)
    assert set(contents[:first_new]) == {OLD}
    assert set(contents[first_new:]) == {NEW}
    assert {backup for _, backup in outcomes} == {None, OLD}
    assert {backup for _, backup in outcomes[first_new:]} == {OLD}


def test_replace_after_a_kill_at_any_step_ends_as_if_there_had_been_none(tmp_path: Path) -> None:
    for number in range(0, 500, 7):
        path = tmp_path / str(number) / "daemon.json"
        path.parent.mkdir()
        path.write_bytes(OLD)
        killed = _replace_and_die(path, number)
        found = config_file.read(path)
        config_file.replace(found, NEW, backup=found.content != NEW)
        assert path.read_bytes() == NEW
        assert config_file.read_backup(found) == OLD
        if not killed:
            break


# A file system of its own


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A daemon.json on a file system of 64 kB."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], check=True, timeout=30)
    try:
        path = mount / "daemon.json"
        path.write_bytes(OLD)
        yield path
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True, timeout=30)


def _fill(ballast: Path, *, spare: int) -> None:
    """Take all pages of the file system but `spare`."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(ballast, ballast.stat().st_size - 4096 * spare)


@root_only
@pytest.mark.netns
@pytest.mark.parametrize("spare", [0, 1])
def test_full_disk_leaves_the_old_file_and_no_temporary_one(small: Path, spare: int) -> None:
    """With one page to spare the backup is written, and the new file is not."""
    _fill(small.parent / "ballast", spare=spare)
    with pytest.raises(DockerError, match="No space left on device; free some space"):
        config_file.replace(config_file.read(small), NEW * 200)
    assert small.read_bytes() == OLD
    assert [name for name in names(small) if "tmp" in name] == []


@root_only
@pytest.mark.netns
def test_read_only_file_system_is_named_with_its_cure(small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small.parent)], check=True, timeout=30)
    with pytest.raises(DockerError, match="Read-only file system; it is mounted read-only: remount"):
        config_file.replace(config_file.read(small), NEW)
    assert small.read_bytes() == OLD


@root_only
@pytest.mark.netns
def test_file_that_is_a_mount_itself_is_named_with_its_cure(small: Path, path: Path) -> None:
    subprocess.run(["mount", "--bind", str(path), str(small)], check=True, timeout=30)
    try:
        with pytest.raises(DockerError, match="busy; something is mounted on it"):
            config_file.replace(config_file.read(small), NEW)
        assert path.read_bytes() == OLD
    finally:
        subprocess.run(["umount", str(small)], check=True, timeout=30)
