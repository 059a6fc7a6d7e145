"""Opens queues of a TUN device (kernel networking/tuntap.rst), with the offloads that the forwarder can do itself.

With a virtio header before each packet, one read returns up to 64 KiB of a TCP stream whose checksums are still to be
made, and one write takes as much.
"""

from __future__ import annotations

import fcntl
import os
import struct

from flanpy.errors import KernelError

DEVICE = "/dev/net/tun"
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_MULTI_QUEUE = 0x0001, 0x1000, 0x4000, 0x0100
_OFFLOADS = 0x01 | 0x02 | 0x08
"""TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO_ECN of linux/if_tun.h."""

_IFREQ = struct.Struct("16sH22x")


def open_queues(link: str) -> tuple[int, ...]:
    """One queue of the persistent TUN device `link`, non-blocking, offloads on. Raises KernelError.

    One is enough: there is one reader, and who only writes may share it.
    """
    try:
        queue = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KernelError(f"cannot open {DEVICE} (modprobe tun)", errno=error.errno or 0) from error
    try:
        _attach(queue, link)
        fcntl.ioctl(queue, _TUNSETOFFLOAD, _OFFLOADS)
    except OSError as error:
        os.close(queue)
        raise KernelError(f"cannot open a queue of {link}", errno=error.errno or 0) from error
    return (queue,)


def _attach(queue: int, link: str) -> None:
    flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
    try:
        fcntl.ioctl(queue, _TUNSETIFF, _IFREQ.pack(link.encode(), flags | _IFF_MULTI_QUEUE))
    except OSError:  # made with one queue only
        fcntl.ioctl(queue, _TUNSETIFF, _IFREQ.pack(link.encode(), flags))
