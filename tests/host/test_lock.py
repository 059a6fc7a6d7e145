"""One daemon per run directory, shown with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flanpy.errors import AlreadyRunning, HostError
from flanpy.host.lock import RunLock

_HOLDER = """
import subprocess, sys
from pathlib import Path
from flanpy.host.lock import RunLock
lock = RunLock.acquire(Path(sys.argv[1]), node_id="other")
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


@contextmanager
def _holder(run_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock and has started a program, which outlives it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(run_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    child = int(process.stdout.readline())
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        os.kill(child, 9)


def test_second_daemon_is_refused_and_told_the_pid_the_node_and_the_directory(tmp_path: Path) -> None:
    with _holder(tmp_path) as other, pytest.raises(AlreadyRunning) as caught:
        RunLock.acquire(tmp_path, node_id="h1")
    assert f"pid {other.pid}, node 'other'" in str(caught.value)
    assert f"'{tmp_path}'" in str(caught.value)
    assert "--run-dir" in str(caught.value)


def test_refused_daemon_does_not_overwrite_the_holders_name(tmp_path: Path) -> None:
    with _holder(tmp_path) as other:
        for _ in range(2):
            with pytest.raises(AlreadyRunning, match=str(other.pid)):
                RunLock.acquire(tmp_path, node_id="h1")


def test_lock_is_free_after_its_holder_was_killed_and_left_a_child_behind(tmp_path: Path) -> None:
    with _holder(tmp_path) as other:
        other.kill()
        other.wait()
        RunLock.acquire(tmp_path, node_id="h1").release()


def test_lock_is_refused_within_one_process_too_and_free_after_release(tmp_path: Path) -> None:
    with RunLock.acquire(tmp_path, node_id="h1") as lock:
        with pytest.raises(AlreadyRunning, match="node 'h1'"):
            RunLock.acquire(tmp_path, node_id="h2")
        lock.release()
        lock.release()
        RunLock.acquire(tmp_path, node_id="h2").release()


def test_lock_makes_its_directory_and_names_the_holder_in_the_file(tmp_path: Path) -> None:
    run_dir = tmp_path / "run" / "flanpy"
    with RunLock.acquire(run_dir, node_id="h1"):
        assert (run_dir / "flanpyd.lock").read_text() == f"{os.getpid()} h1\n"


def test_lock_survives_junk_of_an_earlier_holder(tmp_path: Path) -> None:
    (tmp_path / "flanpyd.lock").write_bytes(b"\xff" * 500)
    with RunLock.acquire(tmp_path, node_id="h1"):
        assert (tmp_path / "flanpyd.lock").read_text() == f"{os.getpid()} h1\n"


def test_lock_does_not_follow_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "flanpyd.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(HostError, match="cannot open"):
        RunLock.acquire(tmp_path, node_id="h1")
    assert not (tmp_path / "precious").exists()


def test_lock_names_the_directory_when_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=r"file/run/flanpyd\.lock"):
        RunLock.acquire(tmp_path / "file" / "run", node_id="h1")


@pytest.mark.parametrize("kind", ["pipe", "second name"])
def test_lock_is_not_taken_on_what_another_user_may_have_put_there(tmp_path: Path, kind: str) -> None:
    """Root takes the lock in the service user's directory, and writes its name into it."""
    path, precious = tmp_path / "flanpyd.lock", tmp_path / "precious"
    precious.write_text("root's")
    os.mkfifo(path) if kind == "pipe" else os.link(precious, path)
    with pytest.raises(HostError, match=r"flanpyd.lock' is no lock of flanpyd, .*: remove it"):
        RunLock.acquire(tmp_path, node_id="n1")
    assert precious.read_text() == "root's"
