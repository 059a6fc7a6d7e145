"""The sockets of both ends on loopback: every kind comes whole, and a wrong checksum is told from a lost packet."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from flanpy.clock import SystemClock
from flanpy.model.address import Family, IPAddress
from flanpy.probe.ear import Ear, TunnelEntry
from flanpy.probe.packet import HEADERS, checksum
from flanpy.probe.payload import Make, Piece, payload
from flanpy.probe.payload_port import PayloadPort

pytestmark = pytest.mark.netns  # raw sockets need root

PORT, TUNNEL = 18_473, 18_472
HERE, THERE = ip_address("127.3.0.1"), ip_address("127.3.0.2")
SIX = ip_address("::1")
Came = list[tuple[IPAddress, Piece, bool]]


def exchanged(send: Callable[[PayloadPort], None], *, count: int, to: IPAddress = THERE) -> Came:
    """Return the judgement at the other end of what `send` sends."""

    async def work() -> Came:
        came: Came = []
        done = asyncio.Event()

        def judged(sender: IPAddress, piece: Piece, whole: bool) -> None:
            came.append((sender, piece, whole))
            if len(came) == count:
                done.set()

        other = PayloadPort(to, TunnelEntry(to, TUNNEL, PORT), judged)
        here = (
            PayloadPort(HERE, TunnelEntry(HERE, TUNNEL, PORT), lambda *_: None) if to.version == 4 else other
        )
        try:
            send(here)
            async with asyncio.timeout(10):
                await done.wait()
        finally:
            for port in {id(one): one for one in (here, other)}.values():
                port.close()
        return came

    return asyncio.run(work())


@pytest.mark.parametrize(("here", "to"), [(HERE, THERE), (SIX, SIX)], ids=["IPv4", "IPv6"])
def test_every_kind_comes_whole_in_full_size(here: IPAddress, to: IPAddress) -> None:
    def send(port: PayloadPort) -> None:
        assert all(port.send(to, make, 5, number, size=1450) for number, make in enumerate(Make))

    came = exchanged(send, count=len(Make), to=to)
    assert sorted(came, key=lambda one: one[1].number) == [
        (here, Piece(5, number), True) for number in range(len(Make))
    ]


def _unmade(size: int = 1450) -> bytes:
    """A datagram of the sender's 1 whose checksum the card was to finish: the kernel leaves the pseudo header's sum."""
    text = payload(5, 1, size - HEADERS[Family.IPV4])
    pseudo = HERE.packed + THERE.packed + struct.pack("!HH", socket.IPPROTO_UDP, len(text) + 8)
    return struct.pack("!HHHH", PORT, PORT, len(text) + 8, ~checksum(pseudo) & 0xFFFF) + text


def _in_tunnel(datagram: bytes) -> bytes:
    """The same in a VXLAN packet, whose own UDP checksum is as wrong (the kernel derives it from the inner one)."""
    inner = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, HERE.packed, THERE.packed
    )
    packet = struct.pack("!II", 0x08000000, 1 << 8) + b"\2" * 12 + b"\x08\0" + inner + datagram
    return struct.pack("!HHHH", 49_152, TUNNEL, len(packet) + 8, 0x1234) + packet


@pytest.mark.parametrize("wrap", [bytes, _in_tunnel], ids=["at the overlay's address", "beneath the overlay"])
def test_datagram_with_a_wrong_checksum_is_told_from_those_beside_it(wrap: Callable[[bytes], bytes]) -> None:
    async def work() -> Came:
        came: asyncio.Queue[tuple[IPAddress, Piece, bool]] = asyncio.Queue()
        other = PayloadPort(THERE, TunnelEntry(THERE, TUNNEL, PORT), lambda *what: came.put_nowait(what))
        here = PayloadPort(HERE, TunnelEntry(HERE, TUNNEL, PORT), lambda *_: None)
        try:
            async with asyncio.timeout(10):
                assert here.send(THERE, Make.KERNEL, 5, 2, size=1450)
                control = await came.get()
                _send_raw(wrap(_unmade()))
                return [control, await came.get()]
        finally:
            here.close()
            other.close()

    assert [(str(who), piece.number, whole) for who, piece, whole in asyncio.run(work())] == [
        (str(HERE), 2, True),
        (str(HERE), 1, False),
    ]


def _send_raw(segment: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.bind((str(HERE), 0))
        raw.sendto(segment, (str(THERE), 0))


def test_ear_is_open_for_a_moment_only_and_hears_nothing_that_is_not_for_the_checks() -> None:
    async def work() -> list[Piece]:
        heard: list[Piece] = []
        ear = Ear(
            TunnelEntry(THERE, TUNNEL, PORT), Family.IPV4, lambda _, piece: heard.append(piece), open_for=0.5
        )
        ear.open()
        for segment in (
            _in_tunnel(_unmade()),
            _unmade(),
            _in_tunnel(b"\0" * 200),
            _in_tunnel(_unmade())[:65],
        ):
            _send_raw(segment)
        async with asyncio.timeout(10):
            while ear.is_open:
                await SystemClock().sleep(0.05)
        assert not ear.found_errors
        return heard

    assert asyncio.run(work()) == [Piece(5, 1)]
