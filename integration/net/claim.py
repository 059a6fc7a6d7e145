"""Owns lab identities: which numbers are taken, by which lab, and the removal of all that carries a number.

A number is held by a file lock, so it is free the moment its owner dies, however it died. It must not know the
topology: everything of lab 7 is found by its name (`fp7-...`), its lock directory and the one directory noted there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from integration.net import cgroups, namespaces
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

REGISTRY = Path("/run/flanpy-lab")
PROJECT_ROOT = Path(__file__).resolve().parents[2]
_KEPT = "kept"
_DIRECTORY = "directory"
_OWNER = "owner"
_HIGHEST_NUMBER = 999


@dataclass(slots=True)
class Claim:
    """A number that is ours until released; `directory` holds the lab's files."""

    number: int
    directory: Path
    _lock: int
    _warden: subprocess.Popen[bytes] | None = None

    @property
    def prefix(self) -> str:
        """Return the prefix of the names of this lab's namespaces."""
        return f"fp{self.number}-"

    def keep(self) -> None:
        """Let the lab outlive this process; only an explicit `down` removes it then."""
        (REGISTRY / str(self.number) / _KEPT).touch()
        self._dismiss_warden()
        os.close(self._lock)

    def release(self) -> None:
        """Remove everything that carries our number, then give the number back.

        After somebody's `down N` the number may be another lab's already; then only our own warden is dismissed.
        """
        if _is_locked_by(self._lock, self.number):
            remove_remains(self.number)
        self._dismiss_warden()
        os.close(self._lock)

    def post_warden(self) -> None:
        """Start the shell that cleans up when we die without doing so (SIGKILL, os._exit).

        It waits on a pipe only we hold: a word means all is well, the end of file means we are gone.
        """
        self._warden = subprocess.Popen(
            ["sh", "-c", f"read -r word || exec {sys.executable} -m integration sweep"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=PROJECT_ROOT, start_new_session=True,
        )  # fmt: skip

    def _dismiss_warden(self) -> None:
        if self._warden is None:
            return
        with contextlib.suppress(BrokenPipeError):
            self._warden.communicate(b"done\n", timeout=30)
        self._warden = None


def claim() -> Claim:
    """Take the lowest free number, after sweeping what dead owners left."""
    REGISTRY.mkdir(parents=True, exist_ok=True)
    for number in range(1, _HIGHEST_NUMBER):
        lock = _try_lock(number)
        if lock is None:
            continue
        if (REGISTRY / str(number) / _KEPT).exists():
            os.close(lock)
            continue
        return _take(number, lock)
    raise LabError(
        f"all {_HIGHEST_NUMBER} lab numbers are taken: see {REGISTRY}, or `python -m integration down --all`"
    )


def _take(number: int, lock: int) -> Claim:
    remove_remains(number, keep_lock=True)
    directory = Path(tempfile.mkdtemp(prefix=f"fp{number}-"))
    (REGISTRY / str(number) / _DIRECTORY).write_text(str(directory))
    (REGISTRY / str(number) / _OWNER).write_text(str(os.getpid()))
    taken = Claim(number=number, directory=directory, _lock=lock)
    try:
        taken.post_warden()
    except BaseException:
        taken.release()
        raise
    return taken


def numbers() -> list[int]:
    """Every lab there is a trace of: registered, or only its namespaces left."""
    registered = {int(entry.name) for entry in REGISTRY.iterdir()} if REGISTRY.is_dir() else set()
    named = {int(match[1]) for name in namespaces.names_with("fp") if (match := re.match(r"fp(\d+)-", name))}
    return sorted(registered | named)


def directory_of(number: int) -> Path | None:
    """Return the directory of a lab's files, if the lab is registered."""
    try:
        return Path((REGISTRY / str(number) / _DIRECTORY).read_text())
    except FileNotFoundError:
        return None


def owner_of(number: int) -> int | None:
    """The pid of who built a lab, for people to read: whether it lives is told by the lock, not by the pid."""
    try:
        return int((REGISTRY / str(number) / _OWNER).read_text() or 0)
    except FileNotFoundError:
        return None


def is_kept(number: int) -> bool:
    """Report whether the lab was left up on purpose."""
    return (REGISTRY / str(number) / _KEPT).exists()


def sweep() -> list[int]:
    """Remove the labs whose owner died without cleaning up; those kept on purpose stay."""
    return [number for number in numbers() if not is_kept(number) and remove_if_free(number)]


def remove_if_free(number: int) -> bool:
    """Remove a lab that no living process holds; the lock keeps a new owner out meanwhile."""
    lock = _try_lock(number)
    if lock is None:
        return False
    try:
        remove_remains(number)
    finally:
        os.close(lock)
    return True


def remove_remains(number: int, *, keep_lock: bool = False) -> None:
    """Kill what runs in lab `number`, delete its namespaces and files; nothing there is success."""
    prefix = f"fp{number}-"
    _kill_all(prefix)
    cgroups.remove(prefix)
    namespaces.ip_batch(None, [f"netns del {name}" for name in namespaces.names_with(prefix)], force=True)
    directory = directory_of(number)
    if directory is not None and directory.name.startswith(prefix):
        _unmount_below(directory)
        shutil.rmtree(directory, ignore_errors=True)
    if not keep_lock:
        shutil.rmtree(REGISTRY / str(number), ignore_errors=True)
        with contextlib.suppress(OSError):
            REGISTRY.rmdir()  # only when ours was the last lab


def _unmount_below(directory: Path) -> None:
    """Disks of their own that a lab gave its hosts."""
    mounted = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in reversed([each for each in mounted if directory in each.parents]):
        subprocess.run(["umount", "-l", str(path)], capture_output=True, timeout=30, check=False)


def _kill_all(prefix: str) -> None:
    def gone() -> bool:
        inside = namespaces.pids_in(namespaces.names_with(prefix)) + cgroups.pids_in(prefix)
        left = [pid for pid in inside if pid != os.getpid()]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(gone, f"every process of {prefix}* is gone", deadline=10)


def _try_lock(number: int) -> int | None:
    path = REGISTRY / str(number) / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # its owner removed the directory just now
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by its owner
        os.close(fd)
        return None
    if not _is_locked_by(fd, number):  # removed between the open and the lock
        os.close(fd)
        return None
    return fd


def _is_locked_by(lock: int, number: int) -> bool:
    try:
        return os.fstat(lock).st_ino == (REGISTRY / str(number) / "lock").stat().st_ino
    except FileNotFoundError:
        return False
