"""Network namespaces for tests: made, entered by a thread, and removed whatever happens.

A socket stays in the namespace in which it was opened, so one test can hold kernels of many namespaces: `here.do`
runs a function in a thread that has entered the namespace. Nothing touches the namespace of the test process.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from flanpy.kernel.adapter import NetlinkKernel
from flanpy.kernel.ethtool import Ethtool
from flanpy.kernel.request import open_netlink
from flanpy.kernel.sysctl import ProcSysctls

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


@dataclass(frozen=True)
class Namespace:
    """A named network namespace, with loopback up."""

    name: str

    @property
    def path(self) -> Path:
        return Path("/run/netns", self.name)

    def do(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread inside the namespace: for opening sockets, and for /proc/sys/net."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter_and_work() -> None:
            try:
                with self.path.open() as file:
                    _enter(file.fileno())
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                errors.append(error)

        thread = threading.Thread(target=enter_and_work)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def run(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a command inside; its output."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", "--", *argv],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def ip(self, line: str, *, check: bool = True) -> str:
        """Run one `ip` command, its words split at blanks."""
        return self.run("ip", *line.split(), check=check)

    def bridge(self, line: str, *, check: bool = True) -> str:
        return self.run("bridge", *line.split(), check=check)

    def json(self, line: str, *, tool: str = "ip") -> Any:
        """Return the parsed output of `ip -j` (or `bridge -j`)."""
        return json.loads(self.run(tool, "-j", *line.split()) or "[]")

    def sysctl(self, path: str, value: str | None = None) -> str:
        """Read, or write, a setting by its path below /proc/sys."""
        file = Path("/proc/sys", path)
        if value is not None:
            self.do(lambda: file.write_text(value))
        return self.do(lambda: file.read_text().strip())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class NamespaceSysctls:
    """`flanpy.kernel.sysctl.ProcSysctls` as seen from a namespace that the test process is not in."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._real = ProcSysctls()

    def read(self, path: str) -> str | None:
        return self._namespace.do(lambda: self._real.read(path))

    def write(self, path: str, value: str) -> None:
        self._namespace.do(lambda: self._real.write(path, value))


@contextmanager
def namespace(label: str = "t", *, loopback: bool = True) -> Iterator[Namespace]:
    """A fresh namespace, gone on exit with everything in it; without `loopback` no link in it was ever up."""
    name = f"fp-{os.getpid()}-{next(_numbers)}-{label}"
    subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True, timeout=60)
    try:
        here = Namespace(name)
        if loopback:
            here.ip("link set lo up")
        yield here
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=60)


@contextmanager
def opened_kernel(here: Namespace) -> Iterator[NetlinkKernel]:
    """Open the real adapter, acting in `here`; needs a running event loop."""
    kernel = NetlinkKernel(
        open_socket=lambda: here.do(open_netlink), ethtool=here.do(Ethtool), sysctls=NamespaceSysctls(here)
    )
    try:
        yield kernel
    finally:
        kernel.close()
