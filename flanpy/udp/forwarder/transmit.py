"""From the TUN device to the underlay: look the peer up, cut what is too big, send in bulk.

Per packet everything must be cheap, so this is one flat loop over one buffer. Packets of one size for one peer leave
in one system call (UDP_SEGMENT, udp(7)), and each becomes a datagram of its own, as flannel's peers want.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from errno import EINVAL, EIO, EMSGSIZE

from flanpy.model.tunnel import Count
from flanpy.udp.forwarder import bulk, icmp
from flanpy.udp.forwarder.checksum import ttl_less, word_sum
from flanpy.udp.forwarder.control import Counters
from flanpy.udp.forwarder.device import put
from flanpy.udp.forwarder.lookup import EMPTY, Lookup, SocketAddress
from flanpy.udp.forwarder.packet import (
    DONT_FRAGMENT,
    GSO_ECN,
    GSO_TCPV4,
    IPV4,
    LEAST,
    LONGEST,
    NEEDS_CSUM,
    PROTO_TCP,
    PROTO_UDP,
    TTL,
    TTL_AND_SUM,
    VNET,
    VNET_PLAIN,
    WORD,
)
from flanpy.udp.forwarder.segment import cut

UDP_SEGMENT = 103
"""linux/udp.h; not in Python's socket module."""

MOST_SEGMENTS = 64
MOST_BYTES = 65507
"""What one sendmsg with UDP_SEGMENT may carry: UDP_MAX_SEGMENTS of older kernels, and a datagram's greatest payload."""

BUDGET = 128
"""Packets between two looks at the control socket."""

Buffer = bytes | bytearray | memoryview

_ROOM = LONGEST + VNET.size
_SEGMENT = struct.Struct("=H")
_TOS = struct.Struct("=i")


class Transmitter:
    """Owns no descriptor. `drain` is called when the queue is readable."""

    def __init__(self, queue: int, sock: socket.socket, counts: Counters) -> None:
        self._queue = queue
        self._sock = sock
        self._counts = counts
        self._lookup = Lookup(EMPTY)
        self._limiter = icmp.Limiter()
        self._buffer = memoryview(bytearray(4 * _ROOM))
        self._whole_buffer = [self._buffer]
        self._bulk = True
        self._run: list[memoryview] = []
        self._run_key: tuple[SocketAddress, int, int] | None = None

    def use(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._bulk = True  # the underlay may be another one now

    def drain(self) -> None:
        """Forward what the queue holds, up to a budget. Raises OSError when the device is gone."""
        if self.forward_one():  # the first is not kept waiting: it may be the only one
            self._drain()

    def forward_one(self) -> bool:
        """Forward the next packet. False: there is none. Raises OSError when the device is gone."""
        buffer = self._buffer
        try:
            size = os.readv(self._queue, self._whole_buffer)
        except BlockingIOError:
            return False
        if size < VNET.size:
            self._counts[Count.TX_MALFORMED] += 1
            return True
        flags, gso, _header, gso_size, start, field = VNET.unpack_from(buffer)
        packet = buffer[VNET.size : size]
        if gso:
            self._whole(packet, gso, gso_size)
            return True
        way, ecn, protocol = self._judged(packet, len(packet))
        if way is None:
            return True
        if flags & NEEDS_CSUM and not _finish(packet, start, field, udp=protocol == PROTO_UDP):
            self._counts[Count.TX_MALFORMED] += 1
            return True
        self._counts[Count.TX_PACKETS] += 1
        self._counts[Count.TX_BYTES] += len(packet)
        self._send(packet, way, ecn)
        return True

    def _drain(self) -> None:
        buffer, queue, end = self._buffer, self._queue, len(self._buffer) - _ROOM
        first, at, each = 0, 0, 0  # packets of `each` bytes are kept from `first` to `at`
        for _ in range(BUDGET):
            try:
                size = os.readv(queue, [buffer[at:]])
            except BlockingIOError:
                break
            if size < VNET.size:
                self._counts[Count.TX_MALFORMED] += 1
                continue
            is_whole = buffer[at + 1]
            if size != each or is_whole:
                self._alike(buffer[first:at], each)
                first, each = at, size
            at += size
            if is_whole:
                self._flush()
                _flags, gso, _header, gso_size, *_ = VNET.unpack_from(buffer, first)
                self._whole(buffer[first + VNET.size : at], gso, gso_size)
                first = at = each = 0
            elif at > end:
                self._alike(buffer[first:at], each)
                self._flush()
                first = at = each = 0
        self._alike(buffer[first:at], each)
        self._flush()

    # packets of one size

    def _alike(self, text: memoryview, size: int) -> None:
        """Those in `text`, each with virtio's header."""
        if len(text) < bulk.chosen.LEAST_ALIKE * size or not self._at_once(text, size):
            for at in range(0, len(text), size or 1):
                self._single(text[at : at + size])

    def _at_once(self, text: memoryview, size: int) -> bool:
        """False: they are to be judged one by one."""
        way, ecn = self._way(text[VNET.size : size])
        if way is None:
            return False
        _flags, _gso, _header, _size, start, field = VNET.unpack_from(text)
        packets, each = bulk.chosen.ready(text, size, start, field), size - VNET.size
        if packets is None:
            return False
        self._flush()
        count = len(text) // size
        self._counts[Count.TX_PACKETS] += count
        self._counts[Count.TX_BYTES] += len(packets)
        most = min(MOST_SEGMENTS, MOST_BYTES // each) * each
        for at in range(0, len(packets), most):
            self._send_bulk([packets[at : at + most]], each, way, ecn)
        return True

    def _way(self, packet: memoryview) -> tuple[SocketAddress | None, int]:
        """Return the destination of a sound packet and its ECN bits. None: `_judged` finds the reason."""
        if len(packet) < LEAST or packet[0] != 0x45:
            return None, 0
        _start, tos, length, _id, _offset, ttl, _protocol, _total, _source, to = IPV4.unpack_from(packet)
        if length != len(packet) or length > self._lookup.mtu or ttl <= 1:
            return None, 0
        return self._lookup.way_to(to), tos & 3

    def _single(self, text: memoryview) -> None:
        flags, _gso, _header, _size, start, field = VNET.unpack_from(text)
        packet, unfinished = text[VNET.size :], flags & NEEDS_CSUM
        way, ecn, protocol = self._judged(packet, len(packet))
        if way is None:
            return
        if unfinished and not _finish(packet, start, field, udp=protocol == PROTO_UDP):
            self._counts[Count.TX_MALFORMED] += 1
            return
        self._counts[Count.TX_PACKETS] += 1
        self._counts[Count.TX_BYTES] += len(packet)
        key = (way, len(packet), ecn)
        run = self._run
        if key != self._run_key or len(run) == MOST_SEGMENTS or (len(run) + 1) * key[1] > MOST_BYTES:
            self._flush()
            self._run_key = key
        run.append(packet)

    def _judged(self, packet: memoryview, longest: int) -> tuple[SocketAddress | None, int, int]:
        """Return the destination, ECN bits and protocol, and lower the TTL by one. None: the packet is
        dropped, and counted unless it is IPv6.

        `longest` is the length of the largest packet that it will be sent as.
        """
        counts = self._counts
        if len(packet) < LEAST or packet[0] >> 4 != 4:
            # IPv6's own chatter on a new device is none of our business
            counts[Count.TX_MALFORMED] += not (packet and packet[0] >> 4 == 6)
            return None, 0, 0
        start, tos, length, _id, offset, ttl, protocol, total, _source, to = IPV4.unpack_from(packet)
        if length != len(packet) or not LEAST <= (start & 15) * 4 <= length:
            counts[Count.TX_MALFORMED] += 1
            return None, 0, 0
        way = self._lookup.way_to(to)
        if way is None:
            counts[Count.TX_NO_ROUTE] += 1
            self._say(icmp.NET_UNREACHABLE, packet)
            return None, 0, 0
        if ttl <= 1:
            counts[Count.TX_TTL_EXPIRED] += 1
            self._say(icmp.TTL_EXCEEDED, packet)
            return None, 0, 0
        if longest > self._lookup.mtu:
            counts[Count.TX_TOO_BIG] += 1
            if offset & DONT_FRAGMENT:
                self._say(icmp.FRAGMENTATION_NEEDED, packet, mtu=self._lookup.mtu)
            return None, 0, 0
        TTL_AND_SUM.pack_into(packet, TTL, ttl - 1, 0)
        packet[TTL + 1] = protocol
        WORD.pack_into(packet, TTL + 2, ttl_less(total))
        return way, tos & 3, protocol

    def _say(self, kind: tuple[int, int], packet: memoryview, *, mtu: int = 0) -> None:
        if self._limiter.allows():
            message = icmp.error(kind, packet, self._lookup.own_address, mtu=mtu)
            if message is not None:
                put(self._queue, [VNET_PLAIN, message])

    # what the kernel left whole

    def _whole(self, packet: memoryview, gso: int, size: int) -> None:
        header = _tcp_header(packet)
        if gso & ~GSO_ECN != GSO_TCPV4 or not header or not size:
            self._counts[Count.TX_MALFORMED] += 1
            return
        size = min(size, len(packet) - header) or 1  # no segment is longer than what there is
        way, ecn, _protocol = self._judged(packet, header + size)
        if way is None:
            return
        each = header + size
        for part in cut(packet, header, size).parts(min(MOST_SEGMENTS, MOST_BYTES // each) or 1):
            self._send_bulk(part, each, way, ecn)
        count = -(-(len(packet) - header) // size)
        self._counts[Count.TX_PACKETS] += count
        self._counts[Count.TX_BYTES] += len(packet) + (count - 1) * header

    # sending

    def _flush(self) -> None:
        if not self._run:
            return
        assert self._run_key is not None
        way, each, ecn = self._run_key
        if len(self._run) == 1:
            self._send(self._run[0], way, ecn)
        else:
            self._send_bulk(self._run, each, way, ecn)
        self._run.clear()
        self._run_key = None

    def _send_bulk(self, text: Sequence[Buffer], each: int, way: SocketAddress, ecn: int) -> None:
        """`text` is cut by the kernel into datagrams of `each` bytes, the last one of what is left."""
        if self._bulk:
            try:
                segment = (socket.IPPROTO_UDP, UDP_SEGMENT, _SEGMENT.pack(each))
                self._sock.sendmsg(text, [segment, *_ecn(ecn)], 0, way)
            except OSError as error:
                if error.errno not in {EIO, EINVAL, EMSGSIZE}:
                    self._counts[Count.TX_ERRORS] += 1
                    return
                # EIO: the device makes no checksums; the others: the path became narrower than our MTU.
                self._bulk = error.errno != EIO
            else:
                return
        whole = b"".join(map(bytes, text))
        for at in range(0, len(whole), each):
            self._send(whole[at : at + each], way, ecn)

    def _send(self, packet: bytes | memoryview, way: SocketAddress, ecn: int) -> None:
        try:
            if ecn:
                self._sock.sendmsg([packet], _ecn(ecn), 0, way)
            else:
                self._sock.sendto(packet, way)
        except OSError:
            self._counts[Count.TX_ERRORS] += 1


def _ecn(bits: int) -> list[tuple[int, int, bytes]]:
    """The outer header has the inner's ECN bits (RFC 6040 normal mode)."""
    return [(socket.IPPROTO_IP, socket.IP_TOS, _TOS.pack(bits))] if bits else []


def _finish(packet: memoryview, start: int, field: int, *, udp: bool) -> bool:
    """Make the checksum that the kernel left to the device: the field holds the pseudo header's sum so far."""
    at = start + field
    if start < (packet[0] & 15) * 4 or at + 2 > len(packet):  # the IPv4 header is not what it is of
        return False
    total = ~word_sum(packet[start:]) & 0xFFFF
    WORD.pack_into(packet, at, total or (0xFFFF if udp else 0))
    return True


def _tcp_header(packet: memoryview) -> int:
    """Length of the IPv4 and TCP headers; 0 if they are not there, or nothing else is."""
    if len(packet) < LEAST or packet[9] != PROTO_TCP:
        return 0
    ip = (packet[0] & 15) * 4
    if ip < LEAST or len(packet) < ip + 20:
        return 0
    header = ip + (packet[ip + 12] >> 4) * 4
    return header if ip + 20 <= header < len(packet) else 0
