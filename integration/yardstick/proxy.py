"""Builds and runs the proxy: the C one, and only where there is no compiler the Python one."""

from __future__ import annotations

import atexit
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
PLAIN = Path(__file__).with_name("plain.py")


def compiler() -> str | None:
    """The C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc")


@functools.cache
def build() -> Path:
    """The C program, compiled once for this process. Raises RuntimeError where there is no compiler."""
    found = compiler()
    if found is None:
        raise RuntimeError("no C compiler: the yardstick needs one (apt-get install gcc libc6-dev)")
    directory = Path(tempfile.mkdtemp(prefix="fp-yardstick-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    built = directory / "proxy"
    subprocess.run([found, "-O2", "-Wall", "-o", str(built), str(SOURCE)], check=True, timeout=120)
    return built


def program() -> Path:
    """The C program, or the Python one where there is no compiler."""
    return build() if compiler() else PLAIN


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
