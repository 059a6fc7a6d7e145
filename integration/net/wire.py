"""A wire that does something to frames on their way. Run as a program, in either form:

    wire.py late NIC OTHER-NIC PORT MILLISECONDS    frames of that TCP port are handed on later, all others at once
    wire.py unsummed NIC OTHER-NIC PORT             a card that leaves checksums within VXLAN to that port unmade

It must import nothing but the stdlib: it runs inside the switch's namespace, between two ends that nothing else
connects. Offloads pass unharmed: both sockets carry each frame's virtio header along (linux/if_packet.h).
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import struct
import sys
import time
from collections import deque

_ETH_P_ALL = 0x0003
_ETH_P_IP = 0x0800
_PACKET_VNET_HDR = 15
_PACKET_OUTGOING = 4
_HEADER = 10
_NEEDS_CSUM = 1
_CSUM_START = 6
_TCP, _UDP = 6, 17
_LARGEST = 1 << 17


def open_end(nic: str) -> socket.socket:
    """A socket that takes and gives all frames of a NIC, headers of the offloads included."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(socket.SOL_PACKET if hasattr(socket, "SOL_PACKET") else 263, _PACKET_VNET_HDR, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    end.bind((nic, _ETH_P_ALL))
    end.setblocking(False)
    return end


def ports(frame: bytes, protocol: int) -> tuple[int, ...]:
    """Return the source and destination port of an Ethernet frame with this protocol over IPv4, else nothing."""
    if len(frame) < 38 or struct.unpack_from("!H", frame, 12)[0] != _ETH_P_IP or frame[23] != protocol:
        return ()
    start = 14 + 4 * (frame[14] & 0x0F)
    return struct.unpack_from("!HH", frame, start) if len(frame) >= start + 4 else ()


def delay(nics: tuple[str, str], port: int, seconds: float) -> None:
    """Pass frames between the two until killed; those from or to the TCP port later."""
    one, other = open_end(nics[0]), open_end(nics[1])
    opposite = {one: other, other: one}
    late: deque[tuple[float, socket.socket, bytes]] = deque()
    print("relaying", flush=True)
    while True:
        rest = max(0.0, late[0][0] - time.monotonic()) if late else None
        for end in select.select([one, other], [], [], rest)[0]:
            for frame in _arrived(end):
                if port in ports(frame[_HEADER:], _TCP):
                    late.append((time.monotonic() + seconds, opposite[end], frame))
                else:
                    _hand_on(opposite[end], frame)
        while late and late[0][0] <= time.monotonic():
            _due, target, frame = late.popleft()
            _hand_on(target, frame)


def unsum(nics: tuple[str, str], port: int) -> None:
    """Pass frames between the two until killed; those from the first are spoilt."""
    one, other = open_end(nics[0]), open_end(nics[1])
    print("relaying", flush=True)
    while True:
        for end in select.select([one, other], [], [])[0]:
            for frame in _arrived(end):
                _hand_on(other if end is one else one, spoilt(frame, port) if end is one else frame)


def spoilt(frame: bytes, port: int) -> bytes:
    """Return the frame as the broken card sends it.

    The kernel says of a frame whose checksum is left to the card that it lacks one (linux/virtio_net.h,
    VIRTIO_NET_HDR_F_NEEDS_CSUM); of encapsulated ones this card forgets that. It cannot cut: ends must leave it frames
    of the MTU's size.
    """
    if not frame[0] & _NEEDS_CSUM or port not in ports(frame[_HEADER:], _UDP)[1:]:
        return frame
    (start,) = struct.unpack_from("=H", frame, _CSUM_START)
    is_outer = start == 14 + 4 * (frame[_HEADER + 14] & 0x0F)  # it makes that of the tunnel's own UDP rightly
    return frame if is_outer else b"\0" * _HEADER + frame[_HEADER:]


def _arrived(end: socket.socket) -> list[bytes]:
    frames: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(frames) < 64:
            frame, address = end.recvfrom(_LARGEST)
            if address[2] != _PACKET_OUTGOING:
                frames.append(frame)
    return frames


def _hand_on(target: socket.socket, frame: bytes) -> None:
    with contextlib.suppress(OSError):  # a full queue or a link that is down loses frames, as wires do
        target.send(frame)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    form, *ends, number = sys.argv[1:5]
    if form == "late":
        delay((ends[0], ends[1]), int(number), float(sys.argv[5]) / 1000)
    else:
        unsum((ends[0], ends[1]), int(number))
