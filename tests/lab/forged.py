"""Encapsulated packets made by hand, as somebody who is no host of the overlay would send them."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flanpy.model.address import Mac
from integration.lab import Container, Host, Lab
from integration.net.namespaces import in_namespace
from tests.lab.overlay import leases

VXLAN_PORT = 8472
UDP_PORT = 8285
PORT = 9999
COUNT = 5
_SO_RCVBUFFORCE = 33


def frame(vtep_mac: str, source: str, destination: str, payload: bytes, *, vni: int = 1) -> bytes:
    """A VXLAN payload (RFC 7348) with a UDP packet inside."""
    ethernet = Mac.parse(vtep_mac).packed + b"\x02\x00\x00\x00\x00\xfe" + b"\x08\x00"
    return struct.pack("!II", 0x08000000, vni << 8) + ethernet + bare(source, destination, payload)


def bare(source: str, destination: str, payload: bytes) -> bytes:
    """An IP packet with a UDP packet inside, which is what the udp backend wraps."""
    udp = struct.pack("!HHHH", 7, PORT, 8 + len(payload), 0) + payload
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    summed = sum(struct.unpack("!10H", header))
    checksum = ~(summed % 0xFFFF) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + header[12:] + udp


def send(namespace: str, address: str, payload: bytes, *, port: int = VXLAN_PORT) -> None:
    """Send it so many times from inside a namespace."""

    def work() -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for _ in range(COUNT):
                sock.sendto(payload, (address, port))

    in_namespace(namespace, work)


def send_as(namespace: str, source: str, address: str, payload: bytes, *, port: int = VXLAN_PORT) -> None:
    """Send it once whole and once in two pieces, with a source that need not be ours: it takes CAP_NET_RAW."""
    udp = struct.pack("!HHHH", 4711, port, 8 + len(payload), 0) + payload
    ends = socket.inet_aton(source) + socket.inet_aton(address)
    pieces = [(0, udp, False), (0, udp[:24], True), (24, udp[24:], False)]

    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for offset, piece, more in pieces:
                place = offset // 8 | (0x2000 if more else 0)
                head = struct.pack(
                    "!BBHHHBBH", 0x45, 0, 20 + len(piece), 77, place, 64, socket.IPPROTO_UDP, 0
                )
                with suppress(OSError):  # no route: then nothing is sent, which is one way to be kept from it
                    sock.sendto(head + ends + piece, (address, 0))

    in_namespace(namespace, work)


class Ear:
    """A UDP socket in a namespace."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def heard(self, payload: bytes, *, wait: float = 60.0) -> list[str]:
        """Return the senders of this payload, until COUNT have come or the time is up; other payloads are dropped."""
        found: list[str] = []
        self._sock.settimeout(wait)
        try:
            while len(found) < COUNT:
                text, (sender, *_) = self._sock.recvfrom(2048)
                if text == payload:
                    found.append(sender)
        except (TimeoutError, BlockingIOError):
            pass
        return found

    def heard_before(self, last: bytes) -> set[bytes]:
        """Return the payloads that came before the `last` one."""
        found: set[bytes] = set()
        self._sock.settimeout(20)
        while (text := self._sock.recv(2048)) != last:
            found.add(text)
        return found

    def silent(self) -> bool:
        """Report whether nothing has come that was not read."""
        return not self.heard_anything()

    def heard_anything(self) -> bytes:
        self._sock.settimeout(0)
        try:
            return self._sock.recv(2048)
        except BlockingIOError:
            return b""


@contextmanager
def listening(namespace: str, port: int = PORT) -> Iterator[Ear]:
    """An ear there."""

    def opened() -> socket.socket:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 23)
        sock.bind(("::", port))
        return sock

    sock = in_namespace(namespace, opened)
    try:
        yield Ear(sock)
    finally:
        sock.close()


def forged(lab: Lab, target: Host, victim: Container, source: str, payload: bytes) -> bytes:
    """A frame that the target's VTEP takes, for a container there."""
    return frame(leases(lab)[target.name].mac, source, victim.address, payload)


def dropped(host: Host, flavour: str, reason: str = "encapsulated") -> int:
    """Return the number of packets that the host's guard has counted."""
    if flavour == "iptables-legacy":
        listing = host.run("iptables-legacy", "-t", "mangle", "-nvxL").stdout
        return sum(int(line.split()[0]) for line in listing.splitlines() if " DROP " in line)
    listing = host.run("nft", "list", "counter", "ip", "flanpy", reason).stdout
    return int(re.findall(r"packets (\d+)", listing)[0])


def members(host: Host, family: str = "ip") -> set[str]:
    """Addresses in the set of hosts."""
    listing = host.run("nft", "list", "set", family, "flanpy", "members", check=False).stdout
    elements = re.search(r"elements = \{([^}]*)\}", listing)
    return set(elements[1].replace(",", " ").split()) if elements else set()
