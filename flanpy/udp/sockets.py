"""The UDP socket on the underlay."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from ipaddress import IPv4Address

from flanpy.errors import KernelError

BUFFER = 8 << 20
"""Bytes each way: 5,000 full packets, what arrives in some ms on a fast link while the receiver is not scheduled."""

_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32


def open_socket(address: IPv4Address, port: int) -> socket.socket:
    """Bound and non-blocking. Raises KernelError: EADDRINUSE where somebody has the port."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
            with suppress(OSError):  # without CAP_NET_ADMIN in the host's own namespace: the default size
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        sock.bind((str(address), port))
    except OSError as error:
        sock.close()
        taken = error.errno == errno.EADDRINUSE
        said = (
            f"UDP port {port} of {address} is taken" if taken else f"cannot bind UDP port {port} of {address}"
        )
        raise KernelError(said, errno=error.errno or 0) from error
    return sock
