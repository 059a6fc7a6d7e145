"""A network card that leaves the checksums of VXLAN's inner packets unmade, as some drivers do. Run as a program.

    unsummed.py NIC OTHER-NIC PORT

It stands between two ends that nothing else connects, and hands every frame on. The kernel says of a frame whose
checksum is left to the card that it lacks one (linux/virtio_net.h, VIRTIO_NET_HDR_F_NEEDS_CSUM); of encapsulated ones,
UDP to the port, this card forgets that. It cannot cut: ends must leave it frames of the MTU's size. It must import
nothing but the stdlib, as it runs inside the switch's namespace.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import struct
import sys

_ETH_P_ALL = 0x0003
_ETH_P_IP = 0x0800
_PACKET_VNET_HDR = 15
_PACKET_OUTGOING = 4
_HEADER = 10
_NEEDS_CSUM = 1
_CSUM_START = 6
_UDP = 17
_LARGEST = 1 << 17


def open_end(nic: str) -> socket.socket:
    """A socket that takes and gives all frames of a NIC, headers of the offloads included."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(263, _PACKET_VNET_HDR, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    end.bind((nic, _ETH_P_ALL))
    end.setblocking(False)
    return end


def spoilt(frame: bytes, port: int) -> bytes:
    """The frame as this card sends it."""
    if not frame[0] & _NEEDS_CSUM or not is_encapsulated(frame[_HEADER:], port):
        return frame
    (start,) = struct.unpack_from("=H", frame, _CSUM_START)
    is_outer = start == 14 + 4 * (frame[_HEADER + 14] & 0x0F)  # it makes that of the tunnel's own UDP rightly
    return frame if is_outer else b"\0" * _HEADER + frame[_HEADER:]


def is_encapsulated(frame: bytes, port: int) -> bool:
    """Report whether an Ethernet frame is UDP over IPv4 to the port."""
    if len(frame) < 42 or struct.unpack_from("!H", frame, 12)[0] != _ETH_P_IP or frame[23] != _UDP:
        return False
    start = 14 + 4 * (frame[14] & 0x0F)
    return len(frame) >= start + 4 and struct.unpack_from("!H", frame, start + 2)[0] == port


def relay(nics: tuple[str, str], port: int) -> None:
    """Pass frames between the two until killed; those from the first NIC are spoilt."""
    one, other = open_end(nics[0]), open_end(nics[1])
    print("relaying", flush=True)
    while True:
        for end in select.select([one, other], [], [])[0]:
            for frame in _arrived(end):
                # A full queue or a link that is down loses frames, as wires do.
                with contextlib.suppress(OSError):
                    (other if end is one else one).send(spoilt(frame, port) if end is one else frame)


def _arrived(end: socket.socket) -> list[bytes]:
    frames: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(frames) < 64:
            frame, address = end.recvfrom(_LARGEST)
            if address[2] != _PACKET_OUTGOING:
                frames.append(frame)
    return frames


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    relay((sys.argv[1], sys.argv[2]), int(sys.argv[3]))
