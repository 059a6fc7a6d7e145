"""Sysctls as files under /proc/sys (kernel ip-sysctl.rst).

/proc/sys/net shows the network namespace of the task that opens the file, so this works on the namespace the daemon
runs in. A process without root may write there with CAP_NET_ADMIN in the namespace's user namespace.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from flanpy.errors import KernelError
from flanpy.model.address import Family
from flanpy.model.objects import HostSysctl, LinkSysctl
from flanpy.netlink.framing import packed

Sysctl = LinkSysctl | HostSysctl


class Sysctls(Protocol):
    """Kernel settings by their path below /proc/sys."""

    def read(self, path: str) -> str | None:
        """The value without its newline; None if there is no such setting."""

    def write(self, path: str, value: str) -> None:
        """Raises KernelError."""


class ProcSysctls:
    """The real ones."""

    def __init__(self, root: Path = Path("/proc/sys")) -> None:
        self._root = root

    def read(self, path: str) -> str | None:
        try:
            return (self._root / os.fsdecode(packed(path))).read_text().strip()
        except OSError:
            return None

    def write(self, path: str, value: str) -> None:
        try:
            (self._root / os.fsdecode(packed(path))).write_text(value)
        except OSError as error:
            raise KernelError(
                f"cannot set {path.replace('/', '.')} = {value}", errno=error.errno or 0
            ) from error


def path_of(setting: Sysctl) -> str:
    """`net/ipv4/conf/flannel.1/accept_ra`: a path keeps the dots of a link's name apart from the separators."""
    match setting:
        case LinkSysctl(family, link, name):
            return f"net/{'ipv4' if family is Family.IPV4 else 'ipv6'}/conf/{link}/{name}"
        case HostSysctl(name):
            return name.replace(".", "/")
