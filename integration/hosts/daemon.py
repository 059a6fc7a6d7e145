"""Owns the daemon of one host: which program, with which flags and files, and when it is ready.

Every program gets flannel's flags only; what flanpyd needs besides (identity, its own directories, JSON logs) goes by
environment, so any other program with flannel's flags can stand in its place.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import assert_never

from integration.etcd.api import ETCD_PREFIX, fetch
from integration.net.child import Child
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

HEALTHZ_PORT = 8287
METRICS_PORT = 8475
PAGE_PORT = 8474
READY_DEADLINE_S = 15.0
PROJECT_ROOT = Path(__file__).resolve().parents[2]


class ReadyBy(Enum):
    """The signs that a program serves."""

    READYZ = "readyz"
    SUBNET_FILE = "subnet_file"


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks that a program puts on its own objects: the protocol of its routes, the alias of its devices.
    "" for no mark."""

    proto: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """The program that runs in flanneld's place."""

    argv: tuple[str, ...]
    ready_by: ReadyBy = ReadyBy.SUBNET_FILE
    marks: Marks = Marks()


FLANPY_MARKS = Marks(proto="70", alias="flanpy")


def flanpyd() -> Program:
    """The project's daemon."""
    return Program(_console_script("flanpyd", "flanpy.daemon.main"), ReadyBy.READYZ, FLANPY_MARKS)


def as_program(words: str | Program | Sequence[str] | None) -> Program:
    """Return what runs in flanneld's place: flanpyd by default, or the command line of any program with its flags."""
    if words is None:
        return flanpyd()
    if isinstance(words, Program):
        return words
    return Program(tuple(shlex.split(words)) if isinstance(words, str) else tuple(words))


def flanpyctl() -> tuple[str, ...]:
    """Return the command of the project's command-line tool, to which arguments are added."""
    return _console_script("flanpyctl", "flanpy.cli.main")


def _console_script(name: str, module: str) -> tuple[str, ...]:
    """The script beside our interpreter, or what it would do where the project is not installed."""
    script = Path(sys.executable).with_name(name)
    if script.exists():
        return (str(script),)
    call = f"import sys; from {module} import main; sys.exit(main())"
    return ("env", f"PYTHONPATH={PROJECT_ROOT}", sys.executable, "-c", call)


class HostDaemon(Child):
    """The daemon of one host; its flags are put together at each start."""

    def __init__(
        self, host: str, namespace: str, program: Program, *, directory: Path, endpoints: str
    ) -> None:
        super().__init__(f"{host} daemon", namespace, log=directory / "daemon.log")
        self.host = host
        self.program = program
        self.directory = directory
        self.endpoints = endpoints
        self.nic = "eth0"
        self.extra: tuple[tuple[str, ...], dict[str, str]] = ((), {})
        """The flags and variables of the last start, beside those of every start."""
        self._subnet_file_before: tuple[int, int] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def subnet_path(self) -> Path:
        """Return the path of subnet.env."""
        return self.directory / "subnet.env"

    @property
    def run_dir(self) -> Path:
        """Its control socket's directory (FLANPYD_RUN_DIR)."""
        return self.directory / "run"

    @property
    def state_dir(self) -> Path:
        """Return the directory that outlives a reboot (FLANPYD_STATE_DIR)."""
        return self.directory / "state"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that flanpyd and flanpyctl need to live beside others on one machine."""
        return {
            "FLANPYD_NODE_ID": self.host,
            "FLANPYD_STATE_DIR": str(self.state_dir),
            "FLANPYD_RUN_DIR": str(self.run_dir),
            "FLANPYD_ETCD_ENDPOINTS": self.endpoints,
            "FLANPYD_ETCD_PREFIX": ETCD_PREFIX,
        }

    @property
    def flags(self) -> list[str]:
        """Flannel's flags."""
        return [
            f"--etcd-endpoints={self.endpoints}", f"--etcd-prefix={ETCD_PREFIX}", f"--iface={self.nic}",
            f"--subnet-file={self.subnet_path}", "--healthz-ip=127.0.0.1", f"--healthz-port={HEALTHZ_PORT}",
        ]  # fmt: skip

    def launch(
        self, *extra_flags: str, env: Mapping[str, str] | None = None, argv: Sequence[str] = ()
    ) -> None:
        """Start it without waiting. `extra_flags` come last, so they win; `argv` replaces the program once."""
        self._subnet_file_before = self._subnet_file_stamp()
        self.extra = (extra_flags, dict(env or {}))
        own = {
            **self.environment,
            "FLANPYD_LOG_FORMAT": "json",
            "FLANPYD_METRICS_LISTEN": f"127.0.0.1:{METRICS_PORT}",
            "FLANPYD_PAGE_LISTEN": f"127.0.0.1:{PAGE_PORT}",
        }
        self.start([*(argv or self.program.argv), *self.flags, *extra_flags], env={**own, **(env or {})})

    def relaunch(self, *, env: Mapping[str, str] | None = None) -> None:
        """Start it as it was started last, this once with `env` besides; does not wait."""
        flags, before = self.extra
        self.launch(*flags, env={**before, **(env or {})})
        self.extra = (flags, before)

    def up(
        self, *extra_flags: str, env: Mapping[str, str] | None = None, deadline: float = READY_DEADLINE_S
    ) -> float:
        """Start it and wait until it is ready; returns the seconds from the start to that."""
        self.launch(*extra_flags, env=env)
        return self.wait_ready(deadline=deadline)

    def restart(self, *extra_flags: str, env: Mapping[str, str] | None = None) -> float:
        """SIGKILL, start, wait; returns the seconds from the start to being ready."""
        self.kill()
        return self.up(*extra_flags, env=env)

    def wait_ready(self, *, deadline: float = READY_DEADLINE_S) -> float:
        """Wait until it serves; LabError with the end of its log when it ends instead, or is late."""
        try:
            return wait_until(self.is_ready_or_ended, f"{self.name} ready", deadline=deadline)
        except LabError as late:
            raise LabError(f"{late}\n{self.log_tail()}") from late

    def is_ready_or_ended(self) -> bool:
        """Report whether the program serves now; raise LabError when it has ended, since it never will."""
        if not self.running:
            raise LabError(f"{self.name} ended with exit code {self.exit_code}: {self.log_tail(8)}")
        return self.is_ready()

    def is_ready(self) -> bool:
        """Report whether the program serves now."""
        match self.program.ready_by:
            case ReadyBy.READYZ:
                return self.answers("/readyz")
            case ReadyBy.SUBNET_FILE:
                stamp = self._subnet_file_stamp()
                return stamp is not None and stamp != self._subnet_file_before
            case never:
                assert_never(never)

    def answers(self, path: str) -> bool:
        """Report whether the health port answers 200 to the path."""
        try:
            return self.fetch(path)[0] == 200
        except OSError:
            return False

    def fetch(self, path: str, *, timeout: float = 2.0) -> tuple[int, str]:
        """GET from its health port, from inside its host: (status, body)."""
        return fetch(self.namespace, ("127.0.0.1", HEALTHZ_PORT), path, timeout=timeout)

    def metrics(self) -> str:
        """Its metrics page."""
        return fetch(self.namespace, ("127.0.0.1", METRICS_PORT), "/metrics", timeout=20.0)[1]

    def _subnet_file_stamp(self) -> tuple[int, int] | None:
        try:
            found = self.subnet_path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns
