"""Owns one program run in the foreground inside a namespace: its start, its signals, its log file.

It must not know what the program is. The log survives restarts (it is appended to); the child has its own session, so
an interrupt typed at the terminal reaches only the lab's owner, who then stops the children in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from integration.net.namespaces import LabError, enter_argv
from integration.net.waiting import PATIENCE

STOP_DEADLINE_S = 10.0
DIES_WITH_US = ("setpriv", "--pdeathsig=KILL")


class Child:
    """A foreground program in a namespace; at most one of it runs at a time.

    With "" for a namespace it runs in ours, and dies with us, as no lab is there to end it.
    """

    def __init__(self, name: str, namespace: str, *, log: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.log = log
        self.starts = 0
        self._running: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    @property
    def pid(self) -> int:
        """The program's own pid (nsenter execs in place); LabError when it was never started."""
        if self._running is None:
            raise LabError(f"{self.name} was never started")
        return self._running.pid

    @property
    def running(self) -> bool:
        """Report whether the process runs now (a frozen one does)."""
        return self._running is not None and self._running.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its last exit code (negative: the signal that ended it); None while it runs or before the first start."""
        return None if self._running is None else self._running.poll()

    def start(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Start it now; `env` is added to ours."""
        if self.running:
            raise LabError(f"{self.name} runs already, pid {self.pid}")
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self._running = subprocess.Popen(
                [*(enter_argv(self.namespace) if self.namespace else DIES_WITH_US), *argv],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip
        self.starts += 1

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended is left alone."""
        if self.running:
            os.kill(self.pid, number)

    def stop(self, *, deadline: float = STOP_DEADLINE_S) -> int | None:
        """SIGTERM and wait; LabError when it does not end in time (it is killed then). Returns the exit code."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            return self.wait(deadline=deadline)
        except LabError:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL and wait for the end."""
        self.signal(signal.SIGKILL)
        if self._running is not None:
            self._running.wait(timeout=STOP_DEADLINE_S * PATIENCE)

    def wait(self, *, deadline: float) -> int | None:
        """Wait for it to end by itself; returns the exit code, None when it was never started."""
        if self._running is None:
            return None
        try:
            return self._running.wait(timeout=deadline * PATIENCE)
        except subprocess.TimeoutExpired as late:
            raise LabError(
                f"{self.name} (pid {self.pid}) still runs after {deadline * PATIENCE:g} s: {self.log}"
            ) from late

    def freeze(self) -> None:
        """SIGSTOP: it keeps its sockets and says nothing, from this moment on."""
        self.signal(signal.SIGSTOP)
        if self._running is not None and self.running:
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def log_text(self, *, all_starts: bool = False) -> str:
        """Return what the process wrote since its last start, or ever."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as written:
            written.seek(0 if all_starts else self._log_offset)
            return written.read().decode(errors="replace")

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self.log_text(all_starts=True).splitlines()[-lines:])

    def log_lines(self, *, all_starts: bool = False) -> list[dict[str, Any]]:
        """Its JSON log lines, parsed; lines that are not JSON objects (a traceback) come as {"text": line}."""
        return [_parsed(line) for line in self.log_text(all_starts=all_starts).splitlines() if line.strip()]

    def events(self, name: str, *, all_starts: bool = False) -> list[dict[str, Any]]:
        """Its JSON log lines whose `event` is `name`."""
        return [line for line in self.log_lines(all_starts=all_starts) if line.get("event") == name]


def _parsed(line: str) -> dict[str, Any]:
    with contextlib.suppress(json.JSONDecodeError):
        if isinstance(found := json.loads(line), dict):
            return found
    return {"text": line}
