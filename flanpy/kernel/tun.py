"""Makes persistent TUN devices, which netlink cannot: over /dev/net/tun (kernel networking/tuntap.rst).

Must not: read or write packets.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Awaitable, Callable

from flanpy.errors import KernelError
from flanpy.model.objects import TunLink

DEVICE = "/dev/net/tun"
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_MULTI_QUEUE = 0x0001, 0x1000, 0x4000, 0x0100
_IFF_TUN_EXCL = 0x8000
_IFREQ = struct.Struct("16sH22x")


async def create(link: TunLink, finish: Callable[[], Awaitable[None]]) -> None:
    """Make the device, which must not exist yet (EEXIST or EBUSY); `finish` gives it the rest of its attributes.

    It becomes persistent last, so that an incomplete device goes with this process, and is not found later as foreign.
    """
    fd = _opened(link.name)
    try:
        queues = _IFF_MULTI_QUEUE if link.multi_queue else 0
        _control(fd, _TUNSETIFF, _request(link.name, queues), f"cannot make {link.name}")
        await finish()
        _control(fd, _TUNSETPERSIST, 1, f"cannot keep {link.name}")
    finally:
        os.close(fd)


def _opened(name: str) -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(
            f"cannot make {name}: cannot open {DEVICE} (modprobe tun)", errno=error.errno or 0
        ) from error


def _request(name: str, queues: int) -> bytes:
    return _IFREQ.pack(name.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL | queues)


def _control(fd: int, request: int, value: int | bytes, what: str) -> None:
    try:
        fcntl.ioctl(fd, request, value)
    except OSError as error:
        raise KernelError(what, errno=error.errno or 0) from error
