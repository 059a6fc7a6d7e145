"""From the underlay to the TUN device: judge the sender, join what belongs together, write.

The socket returns consecutive datagrams of one sender in one call (UDP_GRO, udp(7)). Segments of one TCP flow among
them are written as one packet that the kernel sees whole, which saves it most of the work too.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from sys import byteorder

from flanpy.model.tunnel import Count
from flanpy.udp.forwarder import icmp
from flanpy.udp.forwarder.checksum import changed, ttl_less
from flanpy.udp.forwarder.control import Counters
from flanpy.udp.forwarder.device import put
from flanpy.udp.forwarder.join import Joint, joints
from flanpy.udp.forwarder.lookup import EMPTY, Lookup
from flanpy.udp.forwarder.packet import IP_SUM, IPV4, LEAST, LONGEST, PROTO_UDP, TTL, VNET_PLAIN, WORD

UDP_GRO = 104
"""linux/udp.h; not in Python's socket module."""

BUDGET = 64
"""Calls between two looks at the control socket."""

ECT_1, ECT_0, CE = 1, 2, 3
_ANCILLARY = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(4)


class Receiver:
    """Owns no descriptor. `drain` is called when the socket is readable."""

    def __init__(
        self, queue: int, sock: socket.socket, counts: Counters, answer: Callable[[], object] = bool
    ) -> None:
        """`answer` is called when a lone packet was written, which the kernel may have answered meanwhile."""
        self._queue = queue
        self._sock = sock
        self._counts = counts
        self._lookup = Lookup(EMPTY)
        self._limiter = icmp.Limiter()
        self._buffer = memoryview(bytearray(LONGEST + 1))
        self._not_joined = 0
        self._answer = answer

    def use(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def drain(self) -> None:
        """Forward what the socket holds, up to a budget. Raises OSError when the device is gone."""
        buffer, into = self._buffer, [self._buffer]
        for turn in range(BUDGET):
            try:
                size, notes, flags, sender = self._sock.recvmsg_into(into, _ANCILLARY, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error from another host
                self._counts[Count.RX_ERRORS] += 1
                continue
            each, tos = _read(notes, size)
            if flags & socket.MSG_TRUNC or not size:
                self._counts[Count.RX_MALFORMED] += 1
            elif sender[0] not in self._lookup.peers:
                self._counts[Count.RX_UNKNOWN_SENDER] += -(-size // each)
            elif size == each:
                self._single(buffer[:size], sender[0], outer=tos & 3)
                if not turn:
                    self._answer()
            else:
                self._datagrams(buffer[:size], each, sender[0], outer=tos & 3)

    def _datagrams(self, text: memoryview, each: int, sender: str, *, outer: int) -> None:
        for joint in joints(text, each, but=self._not_joined):
            if joint.count == 1:
                self._single(joint.first, sender, outer=outer)
            else:
                self._joined(joint, sender, outer=outer)

    def _single(self, packet: memoryview, sender: str, *, outer: int) -> None:
        if not self._passes(packet, sender, outer=outer):
            return
        self._counts[Count.RX_PACKETS] += 1
        self._counts[Count.RX_BYTES] += len(packet)
        if not put(self._queue, [VNET_PLAIN, packet]):
            self._counts[Count.RX_ERRORS] += 1

    def _joined(self, joint: Joint, sender: str, *, outer: int) -> None:
        """The headers of all are alike, so the first is judged for all."""
        if not self._passes(joint.first, sender, outer=outer, count=joint.count):
            return
        if put(self._queue, joint.pieces()):
            self._counts[Count.RX_PACKETS] += joint.count
            self._counts[Count.RX_BYTES] += joint.size
        else:
            self._one_by_one(joint, sender, outer=outer)

    def _one_by_one(self, joint: Joint, sender: str, *, outer: int) -> None:
        """The device did not take them joined; the first was judged already."""
        if put(self._queue, [VNET_PLAIN, joint.first]):
            self._counts[Count.RX_PACKETS] += 1
            self._counts[Count.RX_BYTES] += joint.each
            if joint.protocol == PROTO_UDP:
                self._not_joined = PROTO_UDP  # Linux before 6.2
        else:
            self._counts[Count.RX_ERRORS] += 1
        for at in range(joint.each, joint.size, joint.each):
            self._single(joint.text[at : at + joint.each], sender, outer=outer)

    def _passes(self, packet: memoryview, sender: str, *, outer: int, count: int = 1) -> bool:
        """Judge a packet, and take one off its TTL. False: it goes nowhere, which is counted."""
        counts, lookup = self._counts, self._lookup
        if len(packet) < LEAST or packet[0] >> 4 != 4:
            counts[Count.RX_MALFORMED] += count
            return False
        start, tos, length, _id, _offset, ttl, _protocol, total, source, to = IPV4.unpack_from(packet)
        if length != len(packet) or not LEAST <= (start & 15) * 4 <= length:
            counts[Count.RX_MALFORMED] += count
            return False
        if lookup.peer_of(source) != sender:
            counts[Count.RX_WRONG_SOURCE] += count
            return False
        if lookup.peer_of(to) != "":
            counts[Count.RX_WRONG_DESTINATION] += count
            return False
        if ttl <= 1:
            counts[Count.RX_TTL_EXPIRED] += count
            self._say_expired(packet, sender)
            return False
        packet[TTL] = ttl - 1
        WORD.pack_into(packet, IP_SUM, ttl_less(total))
        return True if outer in {0, ECT_0, tos & 3} else self._marked(packet, tos, outer, count)

    def _marked(self, packet: memoryview, tos: int, outer: int, count: int) -> bool:
        """Copy the underlay's ECN mark to a packet that supports ECN; return False to drop another one marked CE.
        RFC 6040, figure 4: CE goes in, ECT(1) only where ECT(0) was.
        """
        inner = tos & 3
        if not inner and outer == CE:
            self._counts[Count.RX_ERRORS] += count
            return False
        if inner == ECT_0 or (inner == ECT_1 and outer == CE):
            first, total = WORD.unpack_from(packet, 0)[0], WORD.unpack_from(packet, IP_SUM)[0]
            packet[1] = tos & ~3 | outer
            WORD.pack_into(packet, IP_SUM, changed(total, first, first & ~3 | outer))
        return True

    def _say_expired(self, packet: memoryview, sender: str) -> None:
        message = icmp.error(icmp.TTL_EXCEEDED, packet, self._lookup.own_address)
        if message is None or not self._limiter.allows():
            return
        try:
            self._sock.sendto(message, (sender, self._lookup.port))
        except OSError:
            self._counts[Count.TX_ERRORS] += 1


def _read(notes: list[tuple[int, int, bytes]], size: int) -> tuple[int, int]:
    """Bytes of each datagram in a bulk, and the TOS of all."""
    each, tos = size, 0
    for level, kind, text in notes:
        if level == socket.IPPROTO_UDP and kind == UDP_GRO:
            each = int.from_bytes(text, byteorder) or size
        elif level == socket.IPPROTO_IP and kind == socket.IP_TOS:
            tos = text[0]
    return each, tos
