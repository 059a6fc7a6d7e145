"""The UDP socket on the underlay."""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress
from ipaddress import IPv4Address

from flanpy.errors import KernelError

BUFFER = 8 << 20
"""Bytes each way: 5,000 full packets, what arrives in some ms on a fast link while the receiver is not scheduled."""

LAST_BREATH, LAST_BREATH_TRIES = 0.2, 20
"""Seconds that what ends may keep its port, and how often it is looked at meanwhile."""

_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32


def open_socket(address: IPv4Address, port: int) -> socket.socket:
    """Open the socket, bound and non-blocking. Raises KernelError: EADDRINUSE if another program has the port."""
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


def port_stays_taken(port: int) -> bool:
    """Report whether another program of this host has this UDP port, on whatever IPv4 address.

    Blocks, for LAST_BREATH at most: the forwarder of a killed daemon holds the port a little longer than the daemon.
    """
    for _ in range(LAST_BREATH_TRIES):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return False
            else:
                return False
        time.sleep(LAST_BREATH / LAST_BREATH_TRIES)
    return True
