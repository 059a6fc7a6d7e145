"""The treatment of single frames by the ingress program, by BPF_PROG_TEST_RUN: the real kernel runs it."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from flanpy.model.tunnel import Count
from flanpy.udp.bpf import syscall
from flanpy.udp.bpf.ingress import ingress
from flanpy.udp.bpf.layout import ETHERNET, FilterVerdict, Skb, Wiring
from flanpy.udp.bpf.maps import CounterMap, PeerMap
from tests.udp.bpf import frames
from tests.udp.bpf.frames import Datagram, Packet, accepts, checksum

pytestmark = pytest.mark.netns

_NEXT = FilterVerdict.NEXT & 0xFFFFFFFF
_GOOD = Datagram()
_INNER, _OUTER = _GOOD.inner, _GOOD.outer
_MARKED = replace(_OUTER, tos=3)


class Program:
    """The loaded program with its maps."""

    def __init__(self, stack: ExitStack) -> None:
        self.peers, self.counters = PeerMap(), CounterMap()
        stack.callback(self.peers.close)
        stack.callback(self.counters.close)
        self.peers.replace(frames.ROWS)
        wiring = Wiring(
            underlay=1, overlay=1, mac=ETHERNET, local=frames.LOCAL, port=frames.PORT, mtu=frames.MTU,
            own=frames.OWN, peers=self.peers.descriptor, counters=self.counters.descriptor,
        )  # fmt: skip
        self._descriptor = syscall.load_program("test_ingress", ingress(wiring))
        stack.callback(os.close, self._descriptor)

    def run(self, frame: bytes, context: bytes = b"") -> tuple[int, bytes]:
        return syscall.run_on(self._descriptor, frame, context)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with ExitStack() as stack:
        yield Program(stack)


def _stripped(datagram: Datagram, **changes: int) -> bytes:
    inner = replace(datagram.inner, ttl=datagram.inner.ttl - 1, **changes)  # type: ignore[arg-type]
    return datagram.ethernet + inner.bytes + datagram.trailer


def test_ingress_strips_and_redirects_a_datagram_of_a_fast_peer(program: Program) -> None:
    assert accepts(_GOOD.frame)
    assert program.run(_GOOD.frame) == (FilterVerdict.REDIRECT, _stripped(_GOOD))


def test_ingress_counts_what_it_redirects(program: Program) -> None:
    before = program.counters.read()
    program.run(_GOOD.frame)
    program.run(replace(_GOOD, port=1).frame)
    after = program.counters.read()
    assert after[Count.RX_PACKETS] - before[Count.RX_PACKETS] == 1
    assert after[Count.RX_BYTES] - before[Count.RX_BYTES] == len(_INNER.bytes)


@pytest.mark.parametrize(
    "datagram",
    [
        replace(_GOOD, udp_checksum=0xBEEF),
        replace(_GOOD, trailer=b"padding of a short frame"),
        replace(_GOOD, inner=replace(_INNER, options=bytes(8), version=0x47)),
        replace(_GOOD, inner=replace(_INNER, fragment=0x2001, protocol=6)),
        replace(_GOOD, inner=replace(_INNER, body=bytes(frames.MTU - 20))),
        replace(_GOOD, inner=replace(_INNER, body=b"")),
        replace(_GOOD, inner=replace(_INNER, ttl=2)),
        replace(_GOOD, outer=replace(_OUTER, fragment=0x4000)),
        replace(_GOOD, outer=replace(_OUTER, ttl=1)),
        replace(
            _GOOD,
            inner=replace(_INNER, source=IPv4Address("10.50.2.200")),
            outer=replace(_OUTER, source=frames.OTHER_PEER),
        ),
    ],
    ids=["udp_checksum", "trailer", "options", "inner_fragment", "full_size", "empty", "ttl_2", "outer_df",
         "outer_ttl_1", "longer_prefix"],
)  # fmt: skip
def test_ingress_takes_every_whole_packet_when_the_sender_is_right(
    program: Program, datagram: Datagram
) -> None:
    assert accepts(datagram.frame)
    assert program.run(datagram.frame) == (FilterVerdict.REDIRECT, _stripped(datagram))


@pytest.mark.parametrize(
    "datagram",
    [
        replace(_GOOD, port=8286),
        replace(_GOOD, outer=replace(_OUTER, destination=IPv4Address("10.99.0.9"))),
        replace(_GOOD, outer=replace(_OUTER, protocol=6)),
        replace(_GOOD, outer=replace(_OUTER, fragment=0x2000)),
        replace(_GOOD, outer=replace(_OUTER, fragment=0x0001)),
        replace(_GOOD, outer=replace(_OUTER, fragment=0x8000)),
        replace(_GOOD, outer=replace(_OUTER, bad_checksum=0x0100)),
        replace(_GOOD, outer=replace(_OUTER, version=0x46, options=bytes(4))),
        replace(_GOOD, outer=replace(_OUTER, length=47)),
        replace(_GOOD, outer=replace(_OUTER, source=frames.OTHER_PEER)),
        replace(_GOOD, outer=replace(_OUTER, source=frames.SLOW_PEER)),
        replace(_GOOD, outer=replace(_OUTER, source=IPv4Address("10.99.0.77"))),
        replace(
            _GOOD,
            inner=replace(_INNER, source=IPv4Address("10.50.3.1")),
            outer=replace(_OUTER, source=frames.SLOW_PEER),
        ),
        replace(_GOOD, inner=replace(_INNER, source=IPv4Address("10.50.2.129"))),
        replace(_GOOD, inner=replace(_INNER, source=IPv4Address("10.50.1.7"))),
        replace(_GOOD, inner=replace(_INNER, source=IPv4Address("192.0.2.1"))),
        replace(_GOOD, inner=replace(_INNER, destination=IPv4Address("10.50.2.7"))),
        replace(_GOOD, inner=replace(_INNER, destination=IPv4Address("224.0.0.1"))),
        replace(_GOOD, inner=replace(_INNER, destination=IPv4Address("10.99.0.1"))),
        replace(_GOOD, inner=replace(_INNER, ttl=1)),
        replace(_GOOD, inner=replace(_INNER, ttl=0)),
        replace(_GOOD, inner=replace(_INNER, version=0x44)),
        replace(_GOOD, inner=replace(_INNER, version=0x65)),
        replace(_GOOD, inner=replace(_INNER, length=33)),
        replace(_GOOD, inner=replace(_INNER, length=31)),
        replace(_GOOD, inner=replace(_INNER, length=0)),
        replace(_GOOD, inner=replace(_INNER, body=bytes(frames.MTU - 19))),
        replace(_GOOD, length=41),
        replace(_GOOD, length=39),
        replace(_GOOD, length=0),
        replace(_GOOD, payload=b""),
        replace(_GOOD, payload=b"\x45"),
        replace(_GOOD, payload=b"\x60" + bytes(60)),
        replace(_GOOD, payload=b"\xff" * 60),
        replace(_GOOD, outer=_MARKED),
        replace(_GOOD, ethernet=b"\x02" + bytes(11) + b"\x08\x00"),
        replace(_GOOD, ethernet=bytes(12) + b"\x86\xdd"),
    ],
    ids=lambda datagram: "",
)
def test_ingress_leaves_a_frame_as_it_is_when_anything_is_wrong_with_it(
    program: Program, datagram: Datagram
) -> None:
    assert not accepts(datagram.frame)
    assert program.run(datagram.frame) == (_NEXT, datagram.frame)


@pytest.mark.parametrize("size", [34, 41, 42, 43, 61, 62, 70])
def test_ingress_leaves_a_frame_when_it_is_cut_short(program: Program, size: int) -> None:
    frame = _GOOD.frame[:size]
    assert program.run(frame) == (_NEXT, frame)


def test_ingress_leaves_segments_that_were_joined_for_the_socket(program: Program) -> None:
    """Their lengths are those of all together, the inner one that of the first; the sum is there."""
    context = bytearray(192)
    struct.pack_into("=I", context, Skb.GSO_SIZE, 40)
    joined = replace(_GOOD, payload=_INNER.bytes * 3, udp_checksum=0x1234)
    lying = replace(_GOOD, udp_checksum=0x1234)
    for one in (joined, lying):
        assert program.run(one.frame, bytes(context)) == (_NEXT, one.frame)


@pytest.mark.parametrize("ect", [1, 2, 3])
def test_ingress_marks_congestion_when_the_underlay_met_it(program: Program, ect: int) -> None:
    for ident in range(0, 0x10000, 257):  # all kinds of checksums
        datagram = replace(_GOOD, inner=replace(_INNER, tos=0xB8 | ect, ident=ident), outer=_MARKED)
        verdict, after = program.run(datagram.frame)
        assert verdict == FilterVerdict.REDIRECT
        assert after[15] == 0xB8 | 3
        assert checksum(after[14:34]) == 0, ident


def test_ingress_keeps_the_header_checksum_right_when_it_takes_a_hop(program: Program) -> None:
    for ident in range(0, 0x10000, 31):
        datagram = replace(_GOOD, inner=replace(_INNER, ident=ident))
        _, after = program.run(datagram.frame)
        assert checksum(after[14:34]) == 0, ident


def test_ingress_keeps_a_wrong_header_checksum_wrong(program: Program) -> None:
    """A packet that was damaged before it was sent must not be mended by us."""
    datagram = replace(_GOOD, inner=replace(_INNER, bad_checksum=0x0400))
    _, after = program.run(datagram.frame)
    assert checksum(after[14:34]) != 0


def test_ingress_judges_as_the_format_says_when_frames_are_fuzzed(program: Program) -> None:
    chance = random.Random(8285)
    taken = 0
    for _ in range(12000):
        frame = _mutated(chance)
        verdict, after = program.run(frame)
        if accepts(frame):
            taken += 1
            assert verdict == FilterVerdict.REDIRECT, frame.hex()
            assert len(after) == len(frame) - 28
            assert after[34:] == frame[62:]
        else:
            assert (verdict, after) == (_NEXT, frame), frame.hex()
    assert taken > 500


def _mutated(chance: random.Random) -> bytes:
    """A good frame in which a few bytes, most often of the headers, are others; its checksum is mended at times."""
    source = chance.choice([IPv4Address("10.50.2.9"), IPv4Address("10.50.2.130"), IPv4Address("10.50.3.3")])
    sender = chance.choice([frames.PEER, frames.PEER, frames.OTHER_PEER, frames.SLOW_PEER])
    inner = Packet(source=source, body=chance.randbytes(chance.choice([0, 8, 40, 300])))
    frame = bytearray(Datagram(inner, replace(_OUTER, source=sender)).frame)
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        frame[chance.randrange(12, min(len(frame), 70))] = chance.choice(
            [0, 1, 2, 0x45, 0xFF, chance.randrange(256)]
        )
    if chance.random() < 0.7:
        frame[24:26] = bytes(2)
        frame[24:26] = checksum(bytes(frame[14:34])).to_bytes(2, "big")
    if chance.random() < 0.1:
        del frame[chance.randrange(34, len(frame)) :]
    return bytes(frame)
