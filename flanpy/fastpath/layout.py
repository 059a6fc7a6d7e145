"""The shared layout of the four programs: their maps' keys and values, their stack, and the steps that they share.

A flow is known by its inner addresses, protocol and ports. Nothing is carried fast on the word of the daemon alone: a
flow's entry holds only while one of its own packets went the whole normal way a moment ago. Must not: call the kernel.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from flanpy.udp.bpf.assembler import Assembler, If, Op, Reg, Size
from flanpy.udp.bpf.layout import (
    DONT_CARE_FRAGMENT_BITS,
    ETH_P_IP,
    ETHERNET,
    IPV4,
    TCP,
    UDP,
    Helper,
    Ip,
    Skb,
    bring_in,
    constant,
)

ICMP: Final = 1
OUTER: Final = IPV4 + 8 + 8 + ETHERNET
"""Bytes that VXLAN puts between the link layer's header and the inner packet: IPv4, UDP, VXLAN, Ethernet."""

PROBE_AFTER_NS: Final = 400_000_000
"""Age of a flow's proof at which one of its packets goes the normal way, for a new proof."""

PROBE_AGAIN_NS: Final = 50_000_000
"""From one such packet to the next while none of them arrives."""

PROOF_ENDS_NS: Final = 800_000_000
"""Age of a proof at which the flow is left to the normal path: what that drops is delivered no longer than this."""

MEETING_ENDS_NS: Final = 100_000_000
"""The longest that a packet may take on the normal way through this host and still be recognised."""

FAST_MARK: Final = 0xFA57
"""In the tc_index of what `out` sent, which the learner on the underlay then knows for no proof."""

ENDED: Final = -1
"""The generation of a flow that has said its farewell: nothing renews it."""

KEY: Final = struct.Struct("=4s4sHHI")
MET: Final = struct.Struct("=QIHHBBxx8sI")
CONFIG: Final = struct.Struct("=QQII")
"""The generation, 0 for none at all; the time (CLOCK_MONOTONIC, ns) until which the daemon vouches for it; the largest
packet that may be sent, and that may be delivered."""
COUNTS: Final = struct.Struct("=8Q")


class Way(IntEnum):
    """The direction of a flow, kept beside the protocol in its key."""

    OUT = 0x100
    IN = 0x200


class Met(IntEnum):
    """Offsets in what is remembered of a packet that was left to the normal way."""

    WHEN = 0
    LINK = 8  # the veth that it came from, or the peer that sent it
    LENGTH = 12
    IDENT = 14
    TTL = 16
    TOS = 17
    MAC = 20  # the one that it was sent to


class Entry(IntEnum):
    """Offsets in a flow's entry; `HEADER` in that of an outgoing one, `MACS` in that of an incoming one."""

    GENERATION = 0
    PROVEN = 8
    PROBED = 16
    LINK = 24
    PEER = 28
    MAC = 32
    HEADER = 40
    MACS = 40


OUT_ENTRY: Final = Entry.HEADER + ETHERNET + OUTER
IN_ENTRY: Final = Entry.MACS + 16


class Tally(IntEnum):
    """Index of a pair (packets, bytes) in a peer's counts."""

    FAST_OUT = 0
    FAST_IN = 1
    SLOW_OUT = 2
    SLOW_IN = 3


class Stack(IntEnum):
    """Offsets from the stack's end."""

    KEY = -24
    NOW = -32
    GENERATION = -40
    MET = -72
    MTU_OUT = -76
    MTU_IN = -80
    TOS = -84
    PEER = -88
    ZERO = -92
    VALUE = -200


@dataclass(frozen=True, slots=True)
class Paths:
    """The values built into the programs. Links by index, maps by descriptor."""

    underlay: int
    local: IPv4Address
    port: int
    vni: int
    network: IPv4Network
    own: IPv4Network
    config: int
    out: int
    into: int
    met: int
    peers: int

    @property
    def vxlan_words(self) -> tuple[int, int]:
        """Return the VXLAN header as two loads of 32 bits give it: flags, VNI."""
        first, second = struct.unpack("=II", struct.pack("!II", 0x08000000, self.vni << 8))
        return first, second


CONTEXT, DATA, SIZE, ENTRY = Reg.R6, Reg.R7, Reg.R8, Reg.R9


def judge_packet(asm: Assembler, at: int) -> None:
    """An IPv4 packet without options, not a fragment, that may hop once more; SIZE = its total length."""
    asm.load(Size.U8, Reg.R1, DATA, at + Ip.VERSION)
    asm.jump_if(Reg.R1, If.NE, 0x45, to="pass")
    asm.load(Size.U16, Reg.R1, DATA, at + Ip.FRAGMENT)
    asm.swap(16, Reg.R1)
    asm.jump_if(Reg.R1, If.ANY, 0xFFFF & ~DONT_CARE_FRAGMENT_BITS, to="pass")
    asm.load(Size.U8, Reg.R1, DATA, at + Ip.TTL)
    asm.jump_if(Reg.R1, If.LE, 1, to="pass")
    asm.load(Size.U16, SIZE, DATA, at + Ip.LENGTH)
    asm.swap(16, SIZE)
    asm.jump_if(SIZE, If.LT, IPV4 + 8, to="pass")


def write_key(asm: Assembler, at: int, way: Way) -> None:
    """Write the flow's key to the stack: ports of TCP and UDP, identifier and kind of an ICMP echo; others leave.

    An echo's request and its reply are flows of their own.
    """
    asm.load(Size.U32, Reg.R1, DATA, at + Ip.SOURCE)
    asm.store(Size.U32, Reg.FP, Stack.KEY, Reg.R1)
    asm.load(Size.U32, Reg.R1, DATA, at + Ip.DESTINATION)
    asm.store(Size.U32, Reg.FP, Stack.KEY + 4, Reg.R1)
    asm.load(Size.U8, Reg.R3, DATA, at + Ip.PROTOCOL)
    asm.load(Size.U32, Reg.R2, DATA, at + IPV4)
    asm.jump_if(Reg.R3, If.EQ, TCP, to="has_ports")
    asm.jump_if(Reg.R3, If.EQ, UDP, to="has_ports")
    asm.jump_if(Reg.R3, If.NE, ICMP, to="pass")
    asm.load(Size.U8, Reg.R2, DATA, at + IPV4)
    asm.jump_if(Reg.R2, If.EQ, 0, to="echo")
    asm.jump_if(Reg.R2, If.NE, 8, to="pass")
    asm.label("echo")
    asm.load(Size.U16, Reg.R1, DATA, at + IPV4 + 4)
    asm.do(Op.LSH, Reg.R2, 16)
    asm.do(Op.OR, Reg.R2, Reg.R1)
    asm.label("has_ports")
    asm.store(Size.U32, Reg.FP, Stack.KEY + 8, Reg.R2)
    asm.do(Op.OR, Reg.R3, int(way))
    asm.store(Size.U32, Reg.FP, Stack.KEY + 12, Reg.R3)


def note_packet(asm: Assembler, at: int, *, mac: int) -> None:
    """Write to the stack what the packet will be known by behind the normal way; Met.LINK is the caller's."""
    asm.load(Size.U16, Reg.R1, DATA, at + Ip.LENGTH)
    asm.store(Size.U16, Reg.FP, Stack.MET + Met.LENGTH, Reg.R1)
    asm.load(Size.U16, Reg.R1, DATA, at + Ip.ID)
    asm.store(Size.U16, Reg.FP, Stack.MET + Met.IDENT, Reg.R1)
    asm.load(Size.U8, Reg.R1, DATA, at + Ip.TTL)
    asm.store(Size.U32, Reg.FP, Stack.MET + Met.TTL, Reg.R1)
    asm.load(Size.U8, Reg.R1, DATA, at + Ip.TOS)
    asm.store(Size.U8, Reg.FP, Stack.MET + Met.TOS, Reg.R1)
    asm.store(Size.U32, Reg.FP, Stack.TOS, Reg.R1)
    asm.load(Size.U32, Reg.R1, DATA, mac)
    asm.store(Size.U32, Reg.FP, Stack.MET + Met.MAC, Reg.R1)
    asm.load(Size.U16, Reg.R1, DATA, mac + 4)
    asm.store(Size.U32, Reg.FP, Stack.MET + Met.MAC + 4, Reg.R1)
    asm.store(Size.U32, Reg.FP, Stack.MET + Met.MAC + 8, 0)


def read_clock(asm: Assembler, paths: Paths) -> None:
    """Write the time and the generation to the stack; leave if the daemon does not vouch for it."""
    asm.call(Helper.TIME)
    asm.store(Size.U64, Reg.FP, Stack.NOW, Reg.R0)
    asm.store(Size.U64, Reg.FP, Stack.MET + Met.WHEN, Reg.R0)
    asm.store(Size.U32, Reg.FP, Stack.ZERO, 0)
    look_up(asm, paths.config, Stack.ZERO)
    asm.jump_if(Reg.R0, If.EQ, 0, to="pass")
    asm.load(Size.U64, Reg.R1, Reg.R0, 0)
    asm.jump_if(Reg.R1, If.EQ, 0, to="pass")
    asm.store(Size.U64, Reg.FP, Stack.GENERATION, Reg.R1)
    for offset, mtu in ((16, Stack.MTU_OUT), (20, Stack.MTU_IN)):
        asm.load(Size.U32, Reg.R1, Reg.R0, offset)
        asm.store(Size.U32, Reg.FP, mtu, Reg.R1)
    asm.load(Size.U64, Reg.R1, Reg.R0, 8)
    asm.load(Size.U64, Reg.R2, Reg.FP, Stack.NOW)
    asm.jump_if(Reg.R1, If.LT, Reg.R2, to="pass")


def look_up(asm: Assembler, table: int, key: int) -> None:
    """R0 = the address of the value, or 0."""
    asm.set(Reg.R2, Reg.FP)
    asm.do(Op.ADD, Reg.R2, key)
    asm.map(Reg.R1, table)
    asm.call(Helper.MAP_LOOKUP)


def put(asm: Assembler, table: int, key: int, value: int, *, only_new: bool = False) -> None:
    """Put a value of the stack under a key of the stack."""
    asm.set(Reg.R2, Reg.FP)
    asm.do(Op.ADD, Reg.R2, key)
    asm.set(Reg.R3, Reg.FP)
    asm.do(Op.ADD, Reg.R3, value)
    asm.set(Reg.R4, int(only_new))
    asm.map(Reg.R1, table)
    asm.call(Helper.MAP_UPDATE)


def follow_tcp(asm: Assembler, at: int, table: int) -> None:
    """Leave the beginning and the end of a connection to the normal way; an end is remembered, a beginning forgets."""
    asm.load(Size.U32, Reg.R1, Reg.FP, Stack.KEY + 12)
    asm.do(Op.AND, Reg.R1, 0xFF)
    asm.jump_if(Reg.R1, If.NE, TCP, to="not_tcp")
    bring_in(asm, at + IPV4 + 20, context=CONTEXT, data=DATA, otherwise="pass")
    asm.load(Size.U8, ENTRY, DATA, at + IPV4 + 13)
    asm.jump_if(ENTRY, If.ANY, 0x02, to="begins")
    asm.do(Op.AND, ENTRY, 0x05)
    asm.jump_if(ENTRY, If.EQ, 0, to="not_tcp")
    look_up(asm, table, Stack.KEY)
    asm.jump_if(Reg.R0, If.EQ, 0, to="pass")
    asm.store(Size.U64, Reg.R0, Entry.GENERATION, ENDED)
    asm.jump("pass")
    asm.label("begins")
    asm.set(Reg.R2, Reg.FP)
    asm.do(Op.ADD, Reg.R2, int(Stack.KEY))
    asm.map(Reg.R1, table)
    asm.call(Helper.MAP_DELETE)
    asm.jump("pass")
    asm.label("not_tcp")


def find_proven(asm: Assembler, table: int) -> None:
    """ENTRY = the flow's entry if a packet proved it a moment ago; once in a while one goes the normal way instead."""
    look_up(asm, table, Stack.KEY)
    asm.jump_if(Reg.R0, If.EQ, 0, to="slow")
    asm.do(Op.MOV, ENTRY, Reg.R0)
    asm.load(Size.U64, Reg.R1, ENTRY, Entry.GENERATION)
    asm.load(Size.U64, Reg.R2, Reg.FP, Stack.GENERATION)
    asm.jump_if(Reg.R1, If.NE, Reg.R2, to="slow")
    asm.load(Size.U64, Reg.R1, Reg.FP, Stack.NOW)
    asm.do(Op.MOV, Reg.R2, Reg.R1)
    asm.load(Size.U64, Reg.R3, ENTRY, Entry.PROVEN)
    asm.jump_if(Reg.R1, If.LT, Reg.R3, to="young")  # proven by another CPU since the clock was read
    asm.do(Op.SUB, Reg.R2, Reg.R3)
    asm.jump_if(Reg.R2, If.GT, PROOF_ENDS_NS, to="slow")
    asm.jump_if(Reg.R2, If.LT, PROBE_AFTER_NS, to="young")
    asm.do(Op.MOV, Reg.R2, Reg.R1)
    asm.load(Size.U64, Reg.R3, ENTRY, Entry.PROBED)
    asm.do(Op.SUB, Reg.R2, Reg.R3)
    asm.jump_if(Reg.R2, If.LT, PROBE_AGAIN_NS, to="young")
    asm.store(Size.U64, ENTRY, Entry.PROBED, Reg.R1)
    asm.jump("slow")
    asm.label("young")


def same_mac(asm: Assembler) -> None:
    """The packet is sent to the MAC address that the one which proved the flow was sent to."""
    for offset in (0, 4):
        asm.load(Size.U32, Reg.R1, Reg.FP, Stack.MET + Met.MAC + offset)
        asm.load(Size.U32, Reg.R2, ENTRY, Entry.MAC + offset)
        asm.jump_if(Reg.R1, If.NE, Reg.R2, to="slow")


def judge_size(asm: Assembler, at: int, mtu: int) -> None:
    """It fits the MTU at `mtu` of the stack; a superpacket by its segments.

    Superpackets of UDP stay marked as tunnelled once they were unwrapped, which no program can undo, so they go the
    normal way.
    """
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.GSO_SIZE)
    asm.jump_if(Reg.R1, If.EQ, 0, to="is_whole")
    asm.load(Size.U32, Reg.R2, Reg.FP, Stack.KEY + 12)
    asm.do(Op.AND, Reg.R2, 0xFF)
    asm.jump_if(Reg.R2, If.NE, TCP, to="slow")
    bring_in(asm, at + IPV4 + 20, context=CONTEXT, data=DATA, otherwise="slow")
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.GSO_SIZE)
    asm.load(Size.U8, Reg.R2, DATA, at + IPV4 + 12)
    asm.do(Op.RSH, Reg.R2, 4)
    asm.do(Op.LSH, Reg.R2, 2)
    asm.do(Op.ADD, Reg.R1, Reg.R2)
    asm.do(Op.ADD, Reg.R1, IPV4)
    asm.jump("has_size")
    asm.label("is_whole")
    asm.do(Op.MOV, Reg.R1, SIZE)
    asm.label("has_size")
    asm.load(Size.U32, Reg.R2, Reg.FP, mtu)
    asm.jump_if(Reg.R1, If.GT, Reg.R2, to="slow")


def tally(asm: Assembler, paths: Paths, kind: Tally) -> None:
    """Add a packet of SIZE bytes to the counts of the peer whose address is at Stack.PEER, the first one too.

    Stack.VALUE is lost.
    """
    here = len(asm)
    look_up(asm, paths.peers, Stack.PEER)
    asm.jump_if(Reg.R0, If.NE, 0, to=f"known_{here}")
    for word in range(0, COUNTS.size, 8):
        asm.store(Size.U64, Reg.FP, Stack.VALUE + word, 0)
    put(asm, paths.peers, Stack.PEER, Stack.VALUE, only_new=True)
    look_up(asm, paths.peers, Stack.PEER)
    asm.jump_if(Reg.R0, If.EQ, 0, to=f"uncounted_{here}")
    asm.label(f"known_{here}")
    asm.load(Size.U64, Reg.R1, Reg.R0, kind * 16)
    asm.do(Op.ADD, Reg.R1, 1)
    asm.store(Size.U64, Reg.R0, kind * 16, Reg.R1)
    asm.load(Size.U64, Reg.R1, Reg.R0, kind * 16 + 8)
    asm.do(Op.ADD, Reg.R1, SIZE)
    asm.store(Size.U64, Reg.R0, kind * 16 + 8, Reg.R1)
    asm.label(f"uncounted_{here}")


def in_network(asm: Assembler, address: Reg, network: IPv4Network, *, otherwise: str) -> None:
    """Leave unless the address, which is lost, lies in the network; R2 is lost too."""
    asm.set(Reg.R2, constant(network.netmask))
    asm.do(Op.AND, address, Reg.R2)
    asm.set(Reg.R2, constant(network.network_address))
    asm.jump_if(address, If.NE, Reg.R2, to=otherwise)


def judge_frame(asm: Assembler, *, otherwise: str) -> None:
    """IPv4, and not in a VLAN."""
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.PROTOCOL)
    asm.jump_if(Reg.R1, If.NE, ETH_P_IP, to=otherwise)
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.VLAN_PRESENT)
    asm.jump_if(Reg.R1, If.NE, 0, to=otherwise)
