"""The program on what the underlay receives: unwraps packets of proven flows, and puts them into their container.

A packet goes straight into the container's network namespace, whole: one that the network card joined is not cut again.
Whatever it does not know goes on to the VXLAN device, unchanged, and is remembered for the learner on the veth.
"""

from __future__ import annotations

from typing import Final

from flanpy.fastpath.layout import (
    CONTEXT,
    DATA,
    ENTRY,
    OUTER,
    SIZE,
    Entry,
    Met,
    Paths,
    Stack,
    Tally,
    Way,
    find_proven,
    follow_tcp,
    in_network,
    judge_frame,
    judge_packet,
    judge_size,
    note_packet,
    put,
    read_clock,
    same_mac,
    tally,
    write_key,
)
from flanpy.fastpath.recognise import recognise_outer
from flanpy.udp.bpf.assembler import Assembler, If, Op, Reg, Size
from flanpy.udp.bpf.layout import (
    ETHERNET,
    IPV4,
    FilterVerdict,
    Helper,
    Ip,
    Room,
    Skb,
    bring_in,
    decrement_ttl,
    fold,
    leave,
)

_INNER: Final = ETHERNET + OUTER
_ECN: Final = 0x03


def incoming(paths: Paths) -> bytes:
    """The program's instructions."""
    asm = Assembler()
    asm.set(CONTEXT, Reg.R1)
    _recognise(asm, paths)
    _judge_outer(asm)
    _judge_inner(asm, paths)
    read_clock(asm, paths)
    follow_tcp(asm, _INNER, paths.into)
    find_proven(asm, paths.into)
    _judge_sender(asm)
    judge_size(asm, _INNER, Stack.MTU_IN)
    _strip(asm)
    _deliver(asm, paths)
    asm.label("slow")
    put(asm, paths.met, Stack.KEY, Stack.MET)
    asm.label("pass")
    tally(asm, paths, Tally.SLOW_IN)
    asm.label("foreign")
    leave(asm, FilterVerdict.NEXT)
    asm.label("drop")
    leave(asm, FilterVerdict.DROP)
    return asm.code()


def _recognise(asm: Assembler, paths: Paths) -> None:
    """VXLAN of our network to our address, for this link; others leave at once."""
    judge_frame(asm, otherwise="foreign")
    bring_in(asm, _INNER + IPV4 + 8, context=CONTEXT, data=DATA, otherwise="foreign")
    asm.load(Size.U32, Reg.R1, DATA, ETHERNET + Ip.DESTINATION)
    recognise_outer(asm, paths, Reg.R1, otherwise="foreign")
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.PACKET_TYPE)
    asm.jump_if(Reg.R1, If.NE, 0, to="foreign")
    asm.load(Size.U32, Reg.R1, DATA, ETHERNET + Ip.SOURCE)
    asm.store(Size.U32, Reg.FP, Stack.PEER, Reg.R1)
    asm.store(Size.U32, Reg.FP, Stack.MET + Met.LINK, Reg.R1)
    asm.load(Size.U32, SIZE, CONTEXT, Skb.LEN)


def _judge_outer(asm: Assembler) -> None:
    """A header checksum that is right, and no congestion met on the way, which the device would have to pass on."""
    asm.load(Size.U8, Reg.R1, DATA, ETHERNET + Ip.TOS)
    asm.do(Op.AND, Reg.R1, _ECN)
    asm.jump_if(Reg.R1, If.EQ, _ECN, to="pass")
    asm.set(Reg.R1, 0)
    for word in range(0, IPV4, 4):
        asm.load(Size.U32, Reg.R2, DATA, ETHERNET + word)
        asm.do(Op.ADD, Reg.R1, Reg.R2)
    fold(asm, Reg.R1, Reg.R2)
    asm.jump_if(Reg.R1, If.NE, 0xFFFF, to="pass")


def _judge_inner(asm: Assembler, paths: Paths) -> None:
    """A whole packet to our subnet, right in its header, of the size that the outer header says."""
    judge_packet(asm, _INNER)
    asm.load(Size.U16, Reg.R1, DATA, ETHERNET + Ip.LENGTH)
    asm.swap(16, Reg.R1)
    asm.do(Op.SUB, Reg.R1, OUTER)
    asm.jump_if(Reg.R1, If.NE, SIZE, to="pass")
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.LEN)
    asm.do(Op.SUB, Reg.R1, _INNER)
    asm.jump_if(Reg.R1, If.NE, SIZE, to="pass")
    asm.set(Reg.R1, 0)
    for word in range(0, IPV4, 4):
        asm.load(Size.U32, Reg.R2, DATA, _INNER + word)
        asm.do(Op.ADD, Reg.R1, Reg.R2)
    fold(asm, Reg.R1, Reg.R2)
    asm.jump_if(Reg.R1, If.NE, 0xFFFF, to="pass")
    asm.load(Size.U32, Reg.R1, DATA, _INNER + Ip.DESTINATION)
    in_network(asm, Reg.R1, paths.own, otherwise="pass")
    write_key(asm, _INNER, Way.IN)
    note_packet(asm, _INNER, mac=_INNER - ETHERNET)


def _judge_sender(asm: Assembler) -> None:
    """The peer that sent the packet which proved the flow, to the same VXLAN device."""
    asm.load(Size.U32, Reg.R1, Reg.FP, Stack.MET + Met.LINK)
    asm.load(Size.U32, Reg.R2, ENTRY, Entry.PEER)
    asm.jump_if(Reg.R1, If.NE, Reg.R2, to="slow")
    same_mac(asm)


def _strip(asm: Assembler) -> None:
    """Take the outer headers away, and address the frame as the bridge would."""
    asm.set(Reg.R1, CONTEXT)
    asm.do(Op.MOV, Reg.R2, -OUTER)
    asm.set(Reg.R3, Room.MAC)
    asm.set(Reg.R4, Room.FIXED_GSO)
    asm.call(Helper.ADJUST_ROOM)
    asm.jump_if(Reg.R0, If.NE, 0, to="slow")
    bring_in(asm, ETHERNET + IPV4, context=CONTEXT, data=DATA, otherwise="drop")
    decrement_ttl(asm, DATA, ETHERNET)
    for word in range(0, 12, 4):
        asm.load(Size.U32, Reg.R1, ENTRY, Entry.MACS + word)
        asm.store(Size.U32, DATA, word, Reg.R1)


def _deliver(asm: Assembler, paths: Paths) -> None:
    tally(asm, paths, Tally.FAST_IN)
    asm.load(Size.U32, Reg.R1, ENTRY, Entry.LINK)
    asm.set(Reg.R2, 0)
    asm.call(Helper.REDIRECT_PEER)
    asm.exit()
