"""The event socket: which rtnetlink notifications reach us at all.

Owns the socket's groups, its buffer and the filter that the kernel runs for us (classic BPF, socket(7)
SO_ATTACH_FILTER): notifications of our own routes and neighbours, and neighbours of links that are not ours, never
enter the queue. Must not: interpret what arrives.
"""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from errno import ENOBUFS

from flanpy.errors import KernelError
from flanpy.kernel.request import SocketFactory, enlarge_receive_buffer
from flanpy.netlink import rtnl

EVENT_BUFFER_BYTES = 8 << 20
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_ATTACH_FILTER = 26
_RECEIVE_BYTES = 1 << 16
# linux/bpf_common.h
_LD_HALF, _LD_WORD, _JUMP_EQUAL, _RETURN = 0x28, 0x20, 0x15, 0x06
_TYPE_AT, _PORT_AT, _NDM_INDEX_AT = 4, 12, 20
_ACCEPT, _DROP = 0xFFFFFFFF, 0
_MOST_LINKS = 2000  # two instructions each, of the 4,096 that the kernel takes (BPF_MAXINSNS)


class EventSocket:
    """Notifications one datagram at a time; an overrun closes the socket and is told as KernelError(ENOBUFS)."""

    def __init__(self, open_socket: SocketFactory) -> None:
        self._sock = open_socket()
        enlarge_receive_buffer(self._sock, EVENT_BUFFER_BYTES)
        for group in rtnl.GROUPS:
            self._sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def attach_filter(self, own_port: int, indices: Iterable[int]) -> None:
        """Let through neighbour events of these links only, and no route or neighbour events of our own."""
        program = filter_program(own_port, sorted(indices))
        code = array.array("B", program)
        header = struct.pack("HP", len(program) // 8, code.buffer_info()[0])
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)

    def receive(self) -> bytes | None:
        """The next datagram, None if there is none now."""
        try:
            with suppress(BlockingIOError):
                return self._sock.recv(_RECEIVE_BYTES)
        except OSError as error:
            what = "netlink events were lost" if error.errno == ENOBUFS else "cannot read netlink events"
            raise KernelError(what, errno=error.errno or 0) from error
        return None


def filter_program(own_port: int, indices: list[int]) -> bytes:
    """The filter as an array of struct sock_filter.

    BPF loads are big-endian and netlink headers are in host order, hence htons and htonl of what is compared. A jump
    reaches 255 instructions, so each link brings its own return.
    """
    routes = [socket.htons(kind) for kind in (rtnl.NEWROUTE, rtnl.DELROUTE)]
    neighbours = [socket.htons(kind) for kind in (rtnl.NEWNEIGH, rtnl.DELNEIGH)]
    of_ours = [
        line
        for index in indices[:_MOST_LINKS]
        for line in ((_JUMP_EQUAL, 0, 1, socket.htonl(index)), (_RETURN, 0, 0, _ACCEPT))
    ]
    program = [
        (_LD_HALF, 0, 0, _TYPE_AT),
        (_JUMP_EQUAL, 4, 0, neighbours[0]),
        (_JUMP_EQUAL, 3, 0, neighbours[1]),
        (_JUMP_EQUAL, 2, 0, routes[0]),
        (_JUMP_EQUAL, 1, 0, routes[1]),
        (_RETURN, 0, 0, _ACCEPT),
        (_LD_WORD, 0, 0, _PORT_AT),
        (_JUMP_EQUAL, 3, 0, socket.htonl(own_port)),
        (_LD_HALF, 0, 0, _TYPE_AT),
        (_JUMP_EQUAL, 2, 0, routes[0]),
        (_JUMP_EQUAL, 1, 2, routes[1]),
        (_RETURN, 0, 0, _DROP),
        (_RETURN, 0, 0, _ACCEPT),
        (_LD_WORD, 0, 0, _NDM_INDEX_AT),
        *of_ours,
        (_RETURN, 0, 0, _DROP),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in program)
