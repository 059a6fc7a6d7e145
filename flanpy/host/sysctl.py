"""Kernel settings of this network namespace, as files under /proc/sys.

Owns reading and writing them, and the texts of the errors. Names are paths (`net/ipv4/ip_forward`), since a link
such as `eth0.100` has dots in its name.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from flanpy.errors import KernelError
from flanpy.model.address import Family

PROC_SYS: Final = Path("/proc/sys")
FORWARDING: Final = {Family.IPV4: "net/ipv4/ip_forward", Family.IPV6: "net/ipv6/conf/all/forwarding"}
_CURES: Final = {
    errno.ENOENT: "this kernel or namespace has no such setting",
    errno.EROFS: "set it outside, or start flanpyd where /proc/sys can be written",
    errno.EACCES: "set it in /etc/sysctl.d, or give flanpyd CAP_NET_ADMIN",
    errno.EPERM: "set it in /etc/sysctl.d, or give flanpyd CAP_NET_ADMIN",
}


class SysctlFiles:
    """The settings below `root`."""

    def __init__(self, root: Path = PROC_SYS) -> None:
        self._root = root

    def read(self, name: str) -> str:
        """Read the value as text. Raises KernelError with errno, ENOENT if there is no such setting."""
        try:
            return self._path(name).read_text(encoding="ascii").strip()
        except OSError as cause:
            raise _kernel_error(f"cannot read sysctl {name}", cause) from cause

    def write(self, name: str, value: str) -> bool:
        """Set the value; False if it was so already. Raises KernelError with errno."""
        if self.read(name) == value:
            return False
        try:
            # Not created: in /proc nothing can be, and a wrong name must say ENOENT everywhere.
            with self._path(name).open("r+", encoding="ascii") as file:
                file.write(f"{value}\n")
        except OSError as cause:
            raise _kernel_error(f"cannot set sysctl {name} to {value}", cause) from cause
        return True

    def _path(self, name: str) -> Path:
        """Return the path below the root, safe for any link name from a message or from input. Raises OSError."""
        if name.startswith("/") or not {"", ".", ".."}.isdisjoint(name.split("/")) or "\0" in name:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._root / name

    def forwards(self, family: Family) -> bool:
        """Report whether the host forwards packets of `family`; False if the kernel has that family off."""
        try:
            return self.read(FORWARDING[family]) != "0"
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return False
            raise

    def enable_forwarding(self, family: Family) -> bool:
        """Turn forwarding on; False if it was. Raises KernelError.

        For IPv6 the kernel then ignores router advertisements on links with accept_ra 1 (ip-sysctl, accept_ra): a host
        that has its default route from one needs accept_ra 2 on that link.
        """
        return self.write(FORWARDING[family], "1") if not self.forwards(family) else False


def sysctl_name(path: str) -> str:
    """Return a path's name as sysctl(8) writes it: a dot in a link's name is a slash."""
    return path.translate(str.maketrans("./", "/."))


def _kernel_error(action: str, cause: OSError) -> KernelError:
    code = cause.errno or 0
    cure = _CURES.get(code, "")
    return KernelError(f"{action}{cure and f' ({cure})'}", code)
