"""The shared layout of both programs: offsets of fields, numbers of helpers, layouts of their maps, and common steps.

The offsets are those of the frame formats (RFC 791, RFC 768) and of struct __sk_buff (linux/bpf.h).
Must not: call the kernel.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network

from flanpy.model.tunnel import HEADERS
from flanpy.udp.bpf.assembler import Assembler, If, Op, Reg, Size

ETHERNET = 14
IPV4 = 20
_USUAL_HEADERS = 52  # IPv4, and TCP with time stamps
LARGEST = 65535
"""Bytes: what the total length of an IPv4 header can say."""

ETH_P_IP = socket.htons(0x0800)
UDP, TCP = 17, 6
DONT_CARE_FRAGMENT_BITS = 0x4000
"""Of the 16 bits with the fragment offset, only Don't Fragment may be set in a packet that is whole."""


class Skb(IntEnum):
    """Offsets in struct __sk_buff."""

    LEN = 0
    PACKET_TYPE = 4
    PROTOCOL = 16
    VLAN_PRESENT = 20
    DATA = 76
    DATA_END = 80
    GSO_SIZE = 176


class Ip(IntEnum):
    """Offsets in an IPv4 header."""

    VERSION = 0
    TOS = 1
    LENGTH = 2
    ID = 4
    FRAGMENT = 6
    TTL = 8
    PROTOCOL = 9
    CHECKSUM = 10
    SOURCE = 12
    DESTINATION = 16


class Udp(IntEnum):
    """Offsets from the start of an IPv4 header without options."""

    SOURCE = IPV4
    DESTINATION = IPV4 + 2
    LENGTH = IPV4 + 4
    CHECKSUM = IPV4 + 6


class Helper(IntEnum):
    MAP_LOOKUP = 1
    RANDOM = 7
    REDIRECT = 23
    PULL_DATA = 39
    CHANGE_HEAD = 43
    ADJUST_ROOM = 50
    REDIRECT_NEIGH = 152


class FilterVerdict(IntEnum):
    """The return value of a program. `NEXT` leaves the packet to the next filter, if any, and then to the stack."""

    NEXT = -1
    DROP = 2
    REDIRECT = 7


class Room(IntEnum):
    """Of bpf_skb_adjust_room: right after the link layer's header, and that segments keep their size."""

    MAC = 1
    FIXED_GSO = 1 << 0
    OUTER_IPV4 = 1 << 1
    OUTER_UDP = 1 << 4


class Counter(IntEnum):
    """Index in the map of counters, whose values are `CARRIED`."""

    SENT = 0
    RECEIVED = 1
    NOT_SENT = 2
    NOT_RECEIVED = 3


CARRIED = struct.Struct("=QQ")
"""Packets (segments on the wire, not superpackets) and bytes (from the inner IP header on)."""

KEY = struct.Struct("=I4s")
PEER = struct.Struct("=4sI")
"""Of the map of peers: prefix length and subnet give the peer's address, and one of these."""
PEER_FAST = 4
SLOW, FAST, FAST_TO_US = range(3)


@dataclass(frozen=True, slots=True)
class Wiring:
    """The values built into the programs. `underlay` and `overlay` are link indices, `mac` the length (bytes) of the
    underlay's link layer header (0 if it has none), `peers` and `counters` map descriptors, `mtu` that of the overlay.
    """

    underlay: int
    overlay: int
    mac: int
    local: IPv4Address
    port: int
    mtu: int
    own: IPv4Network
    peers: int
    counters: int


def constant(address: IPv4Address) -> int:
    """Return the result of a 32-bit load of this address from a packet."""
    number: int = struct.unpack("=I", address.packed)[0]
    return number


def find_peer(asm: Assembler, wiring: Wiring, address: Reg, *, otherwise: str) -> None:
    """R0 = the row of the longest prefix that holds `address`; uses 8 bytes of stack."""
    asm.store(Size.U32, Reg.FP, -8, 32)
    asm.store(Size.U32, Reg.FP, -4, address)
    asm.set(Reg.R2, Reg.FP)
    asm.do(Op.ADD, Reg.R2, -8)
    asm.map(Reg.R1, wiring.peers)
    asm.call(Helper.MAP_LOOKUP)
    asm.jump_if(Reg.R0, If.EQ, 0, to=otherwise)


def bring_in(asm: Assembler, size: int, *, context: Reg, data: Reg, otherwise: str) -> None:
    """data = the packet's start, with `size` bytes that can be read directly.

    A driver may leave headers in a page of their own: those are pulled in. R1 to R5 are lost.
    """
    here = f"within_{len(asm)}"
    _load_bounds(asm, size, context=context, data=data)
    asm.jump_if(Reg.R2, If.LE, Reg.R3, to=here)
    asm.set(Reg.R1, context)
    asm.set(Reg.R2, size)
    asm.call(Helper.PULL_DATA)
    _load_bounds(asm, size, context=context, data=data)
    asm.jump_if(Reg.R2, If.GT, Reg.R3, to=otherwise)
    asm.label(here)


def _load_bounds(asm: Assembler, size: int, *, context: Reg, data: Reg) -> None:
    asm.load(Size.U32, data, context, Skb.DATA)
    asm.load(Size.U32, Reg.R3, context, Skb.DATA_END)
    asm.set(Reg.R2, data)
    asm.do(Op.ADD, Reg.R2, size)


def decrement_ttl(asm: Assembler, data: Reg, header: int) -> None:
    """One hop further; the checksum changes by what the header does (RFC 1624), so that stays right if it was.

    The checksum's word falls by 0x100 if the TTL's word does, with the carry of one's complement; written as flannel's
    proxy and the kernel's ip_decrease_ttl do. R1 and R2 are lost.
    """
    asm.load(Size.U8, Reg.R1, data, header + Ip.TTL)
    asm.do(Op.SUB, Reg.R1, 1)
    asm.store(Size.U8, data, header + Ip.TTL, Reg.R1)
    asm.load(Size.U16, Reg.R1, data, header + Ip.CHECKSUM)
    asm.do(Op.ADD, Reg.R1, socket.htons(0x0100))
    asm.set(Reg.R2, Reg.R1)
    asm.jump_if(Reg.R1, If.LT, 0xFFFF, to=(no_carry := f"no_carry_{len(asm)}"))
    asm.do(Op.ADD, Reg.R2, 1)
    asm.label(no_carry)
    asm.store(Size.U16, data, header + Ip.CHECKSUM, Reg.R2)


def fold(asm: Assembler, total: Reg, scratch: Reg) -> None:
    """total = the one's complement sum of its 16-bit words; it must be below 2**35."""
    for _ in range(3):
        asm.set(scratch, total)
        asm.do(Op.RSH, scratch, 16)
        asm.do(Op.AND, total, 0xFFFF)
        asm.do(Op.ADD, total, scratch)


def count(asm: Assembler, wiring: Wiring, counter: Counter, *, context: Reg, size: Reg) -> None:
    """Add the packet, of `size` bytes, to a counter of this CPU. R0 to R5 are lost, and 4 bytes of stack used.

    The kernel leaves the number of a superpacket's segments open once it was encapsulated; it follows from their size.
    """
    asm.store(Size.U32, Reg.FP, -12, int(counter))
    asm.set(Reg.R2, Reg.FP)
    asm.do(Op.ADD, Reg.R2, -12)
    asm.map(Reg.R1, wiring.counters)
    asm.call(Helper.MAP_LOOKUP)
    asm.jump_if(Reg.R0, If.EQ, 0, to=(uncounted := f"uncounted_{len(asm)}"))
    asm.load(Size.U64, Reg.R1, Reg.R0, 8)
    asm.do(Op.ADD, Reg.R1, size)
    asm.store(Size.U64, Reg.R0, 8, Reg.R1)
    asm.set(Reg.R1, 1)
    asm.load(Size.U32, Reg.R2, context, Skb.GSO_SIZE)
    asm.jump_if(Reg.R2, If.EQ, 0, to=(whole := f"whole_{len(asm)}"))
    asm.set(Reg.R1, size)
    asm.do(Op.ADD, Reg.R1, Reg.R2)
    asm.do(Op.SUB, Reg.R1, _USUAL_HEADERS + 1)
    asm.do(Op.DIV, Reg.R1, Reg.R2)
    asm.label(whole)
    asm.load(Size.U64, Reg.R2, Reg.R0, 0)
    asm.do(Op.ADD, Reg.R2, Reg.R1)
    asm.store(Size.U64, Reg.R0, 0, Reg.R2)
    asm.label(uncounted)


def leave(asm: Assembler, verdict: FilterVerdict) -> None:
    asm.do(Op.MOV, Reg.R0, int(verdict))
    asm.exit()


assert HEADERS == IPV4 + 8
