"""The UDP data plane for who only removes it: what a daemon left behind can be deleted, and nothing be put."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import NoReturn

from flanpy.clock import SystemClock
from flanpy.errors import KernelError
from flanpy.model.objects import TunnelPeer
from flanpy.udp.kernel_plane import KernelPlane
from flanpy.udp.plane import UdpPlane
from flanpy.udp.ports import Forwarder, Workshop
from flanpy.udp.supervisor import Supervisor


def leftovers() -> UdpPlane:
    """Make it in a running event loop."""
    workshop = Workshop(_open_queues, _open_socket, _spawn, KernelPlane())
    return UdpPlane(Supervisor(workshop, SystemClock(), lambda: None), workshop, _NoMemory())


class _NoMemory:
    """The saved table is a file, removed as such."""

    def load(self) -> tuple[TunnelPeer, ...]:
        return ()

    def save(self, peers: Iterable[TunnelPeer]) -> None:
        """Nothing is put, so nothing is kept."""


def _refuse() -> NoReturn:
    raise KernelError("a tunnel is only removed here", errno=errno.EOPNOTSUPP)


def _open_queues(_link: str) -> tuple[int, ...]:
    _refuse()


def _open_socket(_address: IPv4Address, _port: int) -> socket.socket:
    _refuse()


async def _spawn(_queues: Sequence[int], _sock: socket.socket) -> Forwarder:
    _refuse()
