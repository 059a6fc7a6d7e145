"""A wire that takes its time: frames of one TCP port are handed on later, all others at once. Run as a program.

    etcd_delay.py NIC OTHER-NIC PORT MILLISECONDS

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
_TCP = 6
_LARGEST = 1 << 17


def open_end(nic: str) -> socket.socket:
    """A socket that takes and gives all frames of a NIC, headers of the offloads included."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(socket.SOL_PACKET if hasattr(socket, "SOL_PACKET") else 263, _PACKET_VNET_HDR, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    end.bind((nic, _ETH_P_ALL))
    end.setblocking(False)
    return end


def is_slow(frame: bytes, port: int) -> bool:
    """Report whether an Ethernet frame is TCP from or to the port."""
    if len(frame) < 38 or struct.unpack_from("!H", frame, 12)[0] != _ETH_P_IP or frame[23] != _TCP:
        return False
    start = 14 + 4 * (frame[14] & 0x0F)
    return len(frame) >= start + 4 and port in struct.unpack_from("!HH", frame, start)


def relay(nics: tuple[str, str], port: int, delay: float) -> None:
    """Pass frames between the two until killed."""
    one, other = open_end(nics[0]), open_end(nics[1])
    opposite = {one: other, other: one}
    late: deque[tuple[float, socket.socket, bytes]] = deque()
    print("relaying", flush=True)
    while True:
        rest = max(0.0, late[0][0] - time.monotonic()) if late else None
        for end in select.select([one, other], [], [], rest)[0]:
            for frame in _arrived(end):
                if is_slow(frame[_HEADER:], port):
                    late.append((time.monotonic() + delay, opposite[end], frame))
                else:
                    _hand_on(opposite[end], frame)
        while late and late[0][0] <= time.monotonic():
            _due, target, frame = late.popleft()
            _hand_on(target, frame)


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
    relay((sys.argv[1], sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000)
