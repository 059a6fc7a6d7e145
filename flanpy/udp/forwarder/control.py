"""The protocol between the daemon and the forwarder's processes: one request, one answer, over SOCK_SEQPACKET.

H with queue and UDP socket     (first, once; no answer)
T<generation> with a memfd   ->  A<generation> once the table is in force, or E<why not>
C                            ->  C<every counter, in the order of model.tunnel.Count>
(the daemon's end closed)    ->  the process ends
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from flanpy.model.tunnel import Count, TunnelTable
from flanpy.udp.forwarder.wire_table import from_memfd

TABLE, COUNTERS, ACCEPTED, REFUSED, HANDED = b"T", b"C", b"A", b"E", b"H"
GENERATION = struct.Struct("=cQ")
COUNTS = struct.Struct(f"=c{len(Count)}Q")
LONGEST = 512

Counters = dict[Count, int]


def no_counts() -> Counters:
    return dict.fromkeys(Count, 0)


def received_pair(control: socket.socket) -> tuple[int, int] | None:
    """Wait for the queue and the UDP socket; None if the daemon hangs up instead."""
    try:
        said, descriptors, _flags, _from = socket.recv_fds(control, LONGEST, 2)
    except ConnectionError:
        return None
    if said != HANDED or len(descriptors) != 2:
        return None
    return descriptors[0], descriptors[1]


class ForwarderControl:
    """The forwarder's end; each worker has its own."""

    def __init__(self, sock: socket.socket, use: Callable[[TunnelTable], None], counts: Counters) -> None:
        self._sock = sock
        self._use = use
        self._counts = counts

    def fileno(self) -> int:
        return self._sock.fileno()

    def answer(self) -> bool:
        """Take one request and answer it. False: the daemon's end is closed."""
        try:
            request, descriptors, _flags, _from = socket.recv_fds(self._sock, LONGEST, 1)
            if not request:
                return False
            self._sock.send(self._answer(request, descriptors))
        except ConnectionError:
            return False
        return True

    def _answer(self, request: bytes, descriptors: list[int]) -> bytes:
        if request[:1] == COUNTERS:
            return COUNTS.pack(COUNTERS, *self._counts.values())
        try:
            _kind, generation = GENERATION.unpack(request)
            table = from_memfd(descriptors.pop())
        except (ValueError, IndexError, struct.error) as error:
            return REFUSED + str(error).encode()[: LONGEST - 1]
        self._use(table)
        return GENERATION.pack(ACCEPTED, generation)
