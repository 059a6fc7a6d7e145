"""`flanpyctl` as a process that goes on, and the lines it prints."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.cli.conftest import Ctl

DEADLINE_S = 60.0
PROGRAM = (sys.executable, "-c", "from flanpy.cli.main import main; main()")


class Lines:
    """The lines that a process prints, read by a thread."""

    def __init__(self, stream: Any) -> None:
        self.seen: list[str] = []
        self._thread = threading.Thread(
            target=lambda: self.seen.extend(iter(stream.readline, "")), daemon=True
        )
        self._thread.start()

    def wait(self, holds: Callable[[list[str]], bool]) -> None:
        """Wait until the condition holds for all lines so far."""
        end = time.monotonic() + DEADLINE_S
        while not holds(self.seen):
            assert time.monotonic() < end, self.seen
            time.sleep(0.02)


@contextmanager
def going_on(ctl: Ctl, *words: str) -> Iterator[Lines]:
    """Run a command that ends by being killed."""
    process = subprocess.Popen(
        [*PROGRAM, *words],
        env={**os.environ, "FLANPYD_RUN_DIR": str(ctl.run_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Lines(process.stdout)
    finally:
        process.kill()
        process.wait(DEADLINE_S)
