"""Builds and runs the C proxy."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

SOURCE = Path(__file__).with_name("proxy.c")


@functools.cache
def build() -> Path:
    """The program, compiled once for this process. Raises RuntimeError where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("no C compiler: the yardstick needs one (apt-get install gcc libc6-dev)")
    program = Path(tempfile.mkdtemp(prefix="fp-yardstick-"), "proxy")
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), str(SOURCE)], check=True, timeout=120)
    return program


class Proxy:
    """A proxy that runs in a network namespace until the block ends. The TUN device must be there, without virtio."""

    def __init__(self, namespace: str, link: str, local: str, port: int, routes: Mapping[str, str]) -> None:
        self._argv = [
            "nsenter", f"--net=/run/netns/{namespace}", "setpriv", "--pdeathsig=KILL", str(build()),
            link, local, str(port), *(f"{subnet}={peer}" for subnet, peer in routes.items()),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Proxy:
        self._process = subprocess.Popen(self._argv)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
