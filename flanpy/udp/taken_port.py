"""Waits for a UDP port that another program has: a moment for one that is ending, a watch on one that stays.

Who ends closes its device before its socket, and news of the device is what we act on. Must not: choose the port.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address

from flanpy.clock import Clock
from flanpy.errors import KernelError

TRIES, RETRY = 50, 0.005
"""A taken port is tried so often, so many seconds apart."""

LOOK_INTERVAL = 0.05
"""Seconds between two looks whether the port is free."""

OpenSocket = Callable[[IPv4Address, int], socket.socket]


async def open_soon(open_socket: OpenSocket, address: IPv4Address, port: int, clock: Clock) -> socket.socket:
    """The socket, if need be a moment later. Raises KernelError: EADDRINUSE where the port stays taken."""
    for _ in range(TRIES):
        try:
            return open_socket(address, port)
        except KernelError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        await clock.sleep(RETRY)
    return open_socket(address, port)


async def wait_free(open_socket: OpenSocket, address: IPv4Address, port: int, clock: Clock) -> None:
    """Returns once the port can be had."""
    while True:
        await clock.sleep(LOOK_INTERVAL)
        with suppress(KernelError):
            open_socket(address, port).close()
            return
