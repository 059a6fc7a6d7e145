"""Runs on a host in place of flanpyd, with all that its unit gives and takes; prints what it could do, as JSON.

Nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)


def _call(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def _append(path: str) -> None:
    with Path(path).open("a"):
        pass


def _bpf() -> None:
    attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
    _call(libc.syscall(321, 0, attributes, 128))


FORBIDDEN: dict[str, Callable[[], object]] = {
    "read another's secret": lambda: Path("/etc/shadow").read_text(),
    "read the credential store": lambda: list(Path("/etc/credstore").iterdir()),
    "see home directories": lambda: list(Path("/root").iterdir()),
    "write a program": lambda: _append("/usr/bin/flanpyd"),
    "write its settings": lambda: _append("/etc/flanpy/flanpyd.toml"),
    "write Docker's settings": lambda: _append("/etc/docker/daemon.json"),
    "talk to Docker": lambda: _connect("/run/docker.sock"),
    "write a sysctl that is not the network's": lambda: _append("/proc/sys/kernel/core_pattern"),
    "signal init": lambda: os.kill(1, 0),
    "become root": lambda: os.setuid(0),
    "see packets": lambda: socket.socket(17, socket.SOCK_RAW),
    "make a namespace": lambda: _call(libc.unshare(0x10000000)),
    "mount": lambda: _call(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "trace": lambda: _call(libc.ptrace(0x4206, os.getppid(), 0, 0)),
    "load a program into the kernel": _bpf,
    "make memory that can be written and run": lambda: _call(
        -(ctypes.c_long(libc.mmap(0, 4096, 7, 34, -1, 0)).value == -1)
    ),
    "open the console": lambda: os.open("/dev/console", os.O_RDWR),
}
ALLOWED: dict[str, Callable[[], object]] = {
    "write a sysctl of the network": lambda: Path("/proc/sys/net/ipv4/conf/lo/rp_filter").write_text("2"),
    "open the TUN device": lambda: os.close(os.open("/dev/net/tun", os.O_RDWR)),
    "send echo requests": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "talk to netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close(),
    "hold the xtables lock": lambda: os.close(os.open("/run/xtables.lock", os.O_RDONLY | os.O_CREAT, 0o600)),
    "write the subnet file": lambda: _append("/run/flannel/rights"),
    "keep its lease": lambda: _append("/var/lib/flanpy/rights"),
}


def could(deeds: dict[str, Callable[[], object]]) -> list[str]:
    """The names of what went well."""
    return [name for name, deed in deeds.items() if _goes_well(deed)]


def _goes_well(deed: Callable[[], object]) -> bool:
    """Each in a process of its own: a deed may change who one is."""
    if (child := os.fork()) == 0:
        with contextlib.suppress(BaseException):
            deed()
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    said = {
        "forbidden": could(FORBIDDEN),
        "refused": sorted({*ALLOWED} - {*could(ALLOWED)}),
        "uid": os.getuid(),
    }
    sys.stdout.write(json.dumps(said) + "\n")
