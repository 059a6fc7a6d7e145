"""The frames on the wire between hosts, read one by one and checked here: nothing uses flanpy's own packet code.

A device hands over what it has: several inner packets in one frame where the sender left cutting and summing to its
network card. `inner_packets` takes such a frame apart, and says what is wrong with each packet in it.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flanpy.kernel.ethtool import Ethtool
from integration.net.namespaces import in_namespace

PORT = 8285
TCP, UDP, ICMP = 6, 17, 1
_ETH_P_ALL, _SO_RCVBUFFORCE, _ETHER = 0x0003, 33, 14
_OFFLOADS = (
    "tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-udp-segmentation", "tx-generic-segmentation",
    "tx-checksum-ip-generic",
)  # fmt: skip


def offload(namespace: str, link: str, *, enabled: bool) -> None:
    """Let the link take TCP and UDP in large pieces without checksums, as a good network card does, or not."""

    def change() -> None:
        ethtool = Ethtool()
        for feature in reversed(_OFFLOADS) if enabled else _OFFLOADS:  # no segments without checksums
            ethtool.set(link, feature, enabled=enabled)
        ethtool.close()

    in_namespace(namespace, change)


@dataclass(frozen=True, slots=True)
class Inner:
    """An IPv4 packet. `wrong` is what keeps a plain peer from taking it; `more` are the bytes behind it."""

    protocol: int
    ttl: int
    source: str
    target: str
    length: int
    fragment: bool
    wrong: tuple[str, ...]


def total(text: bytes) -> int:
    """The one's complement sum; 0xFFFF over text that holds its own right checksum."""
    found: int = sum(struct.unpack(f"!{(len(text) + 1) // 2}H", text + bytes(len(text) % 2)))
    while found >> 16:
        found = (found & 0xFFFF) + (found >> 16)
    return found


def packet_in(text: bytes) -> Inner:
    """The packet at the beginning of `text`."""
    if len(text) < 20 or text[0] >> 4 != 4:
        return Inner(0, 0, "", "", len(text), False, (f"no IPv4 packet: {text[:20].hex()}",))
    head, length = (text[0] & 15) * 4, int.from_bytes(text[2:4], "big")
    flags = int.from_bytes(text[6:8], "big")
    fragment = bool(flags & 0x3FFF)
    packet = text[:length]
    wrong = []
    if len(packet) < length or length < head:
        wrong.append(f"cut off: {len(packet)} of {length} bytes")
    if total(packet[:head]) != 0xFFFF:
        wrong.append("wrong IP checksum")
    if not fragment and not wrong:
        wrong += _wrong_inside(packet, head)
    source, target = (socket.inet_ntoa(packet[at : at + 4]) for at in (12, 16))
    return Inner(packet[9], packet[8], source, target, length, fragment, tuple(wrong))


def _wrong_inside(packet: bytes, head: int) -> Iterator[str]:
    protocol, body = packet[9], packet[head:]
    if protocol == UDP and int.from_bytes(body[4:6], "big") != len(body):
        yield f"UDP length {int.from_bytes(body[4:6], 'big')} of {len(body)}"
    if protocol == UDP and body[6:8] == b"\0\0":
        return  # not summed, as UDP over IPv4 need not be
    pseudo = packet[12:20] + bytes([0, protocol]) + len(body).to_bytes(2, "big")
    if total(body if protocol == ICMP else pseudo + body) != 0xFFFF:
        yield f"wrong checksum of protocol {protocol}"


def tunnelled(frame: bytes) -> bytes | None:
    """Return the payload of a frame for our port; None for other frames."""
    ip = frame[_ETHER:]
    if len(ip) < 28 or ip[0] != 0x45 or ip[9] != UDP or int.from_bytes(ip[22:24], "big") != PORT:
        return None
    return ip[28 : int.from_bytes(ip[2:4], "big") or None]


def inner_packets(payload: bytes) -> Iterator[Inner]:
    """Yield all packets of a payload, one after another."""
    while payload:
        found = packet_in(payload)
        yield found
        payload = payload[max(found.length, 1) :]


class Capture:
    """Collects what a link receives while the block runs, with `sent` what it sends; up to `most` frames."""

    def __init__(self, namespace: str, link: str, *, most: int = 3000, sent: bool = False) -> None:
        self._most = most
        self._sent = sent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)
        self._socket = in_namespace(namespace, lambda: _tap(link))
        self.frames: list[bytes] = []

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(self, *_trouble: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def wait(self, enough: Callable[[Sequence[bytes]], bool], *, deadline: float = 60.0) -> None:
        """Wait until enough is captured."""
        end = time.monotonic() + deadline
        while not enough(self.frames):
            if time.monotonic() > end:
                raise AssertionError(f"{len(self.frames)} frames, and not enough of those wanted")
            time.sleep(0.05)

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                frame, told = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                continue
            if (told[2] == socket.PACKET_OUTGOING) is self._sent and len(self.frames) < self._most:
                self.frames.append(frame)


def _tap(link: str) -> socket.socket:
    """Sees all, as it comes from the link: one for IP only would miss what a filter of the link takes away."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
    tap.bind((link, _ETH_P_ALL))
    tap.settimeout(0.1)
    return tap


@contextmanager
def offloads_off(*links: tuple[str, str]) -> Iterator[None]:
    """Each link (namespace, name) cuts and sums in software while the block runs."""
    try:
        for namespace, link in links:
            offload(namespace, link, enabled=False)
        yield
    finally:
        for namespace, link in links:
            offload(namespace, link, enabled=True)
