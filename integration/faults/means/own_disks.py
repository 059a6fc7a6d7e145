"""Owns disks that refuse or hang, in a mount namespace of their own: seen from here through /proc.

Nothing is mounted on the machine's own tree, and a disk that hangs goes on when its keeper ends, however that comes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from integration.faults.means import disk_keeper
from integration.hosts.host import Host
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

FILL = "dd if=/dev/zero of=ballast bs=4096 2>/dev/null || true"
"""A shell line that leaves no page free."""

KEEPER_DEADLINE_S = 30.0


class SmallDisk:
    """A tmpfs of a few pages in the daemon's own mount namespace; it ends with the daemon."""

    def __init__(self, host: Host, mount_point: Path) -> None:
        self.mount_point = mount_point
        self._daemon = host.daemon
        mount_point.mkdir()

    def launch(self, *options: str, before: str = "true", env: Mapping[str, str]) -> None:
        """Start the daemon over it; `before` is a shell command that runs in the mount point first."""
        mounted = f"mount -t tmpfs -o {','.join(['size=32k', *options])} small {self.mount_point}"
        script = f'{mounted} && cd {self.mount_point} && {{ {before}; cd /; }} && exec "$@"'
        program = ["unshare", "--mount", "sh", "-c", script, "sh", *self._daemon.program.argv]
        self._daemon.launch(env=env, argv=program)

    def path(self, name: str) -> Path:
        """A file on it, from outside."""
        return Path(f"/proc/{self._daemon.pid}/root{self.mount_point}") / name

    def fill(self) -> None:
        """Leave no page free."""
        with self.path("ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def make_room(self) -> None:
        self.path("ballast").unlink()

    def remount(self, option: str) -> None:
        enter = ["nsenter", f"--mount=/proc/{self._daemon.pid}/ns/mnt", "--"]
        subprocess.run([*enter, "mount", "-o", f"remount,{option}", str(self.mount_point)], check=True)


class HungDisk:
    """An ext4 in a file. Frozen, it takes no write: a writer waits in the kernel until it is thawed.

    A context manager. The keeper, a process of its own, holds the mount namespace, and thaws when we end.
    """

    def __init__(self, directory: Path) -> None:
        self.mount_point = directory / "disk"
        self._image = directory / "disk.ext4"
        self._keeper: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.mount_point.mkdir()
        with self._image.open("wb") as image:
            image.truncate(4 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(self._image)], check=True)
        keeper = [sys.executable, "-IS", disk_keeper.__file__, str(self._image), str(self.mount_point)]
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", *keeper],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._heard("mounted")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        with suppress(OSError):
            self._keeper.stdin.close()  # it thaws the disk and ends
        self._keeper.wait(timeout=KEEPER_DEADLINE_S)

    @property
    def namespace(self) -> Path:
        """Its mount namespace."""
        return Path(f"/proc/{self._pid}/ns/mnt")

    def within(self, argv: Sequence[str]) -> list[str]:
        """Words that run a program where the disk can be seen."""
        return ["nsenter", f"--mount={self.namespace}", "--", *argv]

    def path(self, name: str = "") -> Path:
        """A file on it, from outside."""
        return Path(f"/proc/{self._pid}/root{self.mount_point}") / name

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It answers no write meanwhile."""
        self._say("freeze", "frozen")
        try:
            yield
        finally:
            self._say("thaw", "thawed")

    @property
    def _pid(self) -> int:
        assert self._keeper is not None
        return self._keeper.pid

    def _say(self, word: str, answer: str) -> None:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{word}\n")
        self._keeper.stdin.flush()
        self._heard(answer)

    def _heard(self, answer: str) -> None:
        assert self._keeper is not None
        assert self._keeper.stdout is not None
        if (said := self._keeper.stdout.readline().strip()) != answer:
            raise LabError(f"the keeper of {self.mount_point} said {said!r}, not {answer}")


def hangs(pid: int, *, deadline: float = 10.0) -> bool:
    """Wait until a thread of the process waits for a disk (state D)."""
    with suppress(LabError):
        wait_until(lambda: _waits(pid), f"a thread of {pid} hangs", deadline=deadline)
        return True
    return False


def _waits(pid: int) -> bool:
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            states.append(task.read_text().rpartition(")")[2].split()[0])
    time.sleep(0.02)
    return "D" in states
