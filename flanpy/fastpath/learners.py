"""The two programs behind the normal way: what comes through there unchanged proves its flow.

One on what leaves the underlay, one on what is delivered to a container. Neither changes a packet.
"""

from __future__ import annotations

from typing import Final

from flanpy.fastpath.layout import (
    CONTEXT,
    DATA,
    ENDED,
    ENTRY,
    FAST_MARK,
    MEETING_ENDS_NS,
    OUTER,
    SIZE,
    Entry,
    Met,
    Paths,
    Stack,
    Tally,
    Way,
    in_network,
    judge_frame,
    look_up,
    put,
    read_clock,
    tally,
    write_key,
)
from flanpy.fastpath.recognise import recognise_outer
from flanpy.udp.bpf.assembler import Assembler, If, Op, Reg, Size
from flanpy.udp.bpf.layout import ETHERNET, IPV4, FilterVerdict, Ip, Skb, bring_in, leave

_INNER: Final = ETHERNET + OUTER
_DSCP: Final = 0xFC


def learn_outgoing(paths: Paths) -> bytes:
    """The program on what leaves the underlay: the headers of a packet prove and shape its flow."""
    asm = Assembler()
    asm.set(CONTEXT, Reg.R1)
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.TC_INDEX)
    asm.jump_if(Reg.R1, If.EQ, FAST_MARK, to="pass")
    judge_frame(asm, otherwise="pass")
    bring_in(asm, _INNER + IPV4 + 8, context=CONTEXT, data=DATA, otherwise="pass")
    asm.load(Size.U32, Reg.R1, DATA, ETHERNET + Ip.SOURCE)
    recognise_outer(asm, paths, Reg.R1, otherwise="pass")
    asm.load(Size.U32, Reg.R1, DATA, ETHERNET + Ip.DESTINATION)
    asm.store(Size.U32, Reg.FP, Stack.PEER, Reg.R1)
    asm.load(Size.U32, SIZE, CONTEXT, Skb.LEN)
    asm.do(Op.SUB, SIZE, _INNER)
    tally(asm, paths, Tally.SLOW_OUT)
    asm.load(Size.U8, Reg.R1, DATA, ETHERNET + Ip.TOS)
    asm.jump_if(Reg.R1, If.ANY, _DSCP, to="pass")
    asm.load(Size.U32, Reg.R1, Reg.FP, Stack.PEER)
    asm.store(Size.U32, Reg.FP, Stack.VALUE + Entry.PEER, Reg.R1)
    for word in range(0, _INNER, 8):
        asm.load(Size.U64, Reg.R1, DATA, word)
        asm.store(Size.U64, Reg.FP, Stack.VALUE + Entry.HEADER + word, Reg.R1)
    write_key(asm, _INNER, Way.OUT)
    _meet(asm, paths, _INNER, paths.out)
    asm.load(Size.U32, Reg.R1, ENTRY, Met.LINK)
    asm.store(Size.U32, Reg.FP, Stack.VALUE + Entry.LINK, Reg.R1)
    _prove(asm, paths.out)
    return asm.code()


def learn_incoming(paths: Paths) -> bytes:
    """The program on what a container is given: its MAC addresses, and the peer that sent it."""
    asm = Assembler()
    asm.set(CONTEXT, Reg.R1)
    judge_frame(asm, otherwise="pass")
    bring_in(asm, ETHERNET + IPV4 + 8, context=CONTEXT, data=DATA, otherwise="pass")
    asm.load(Size.U32, Reg.R1, DATA, ETHERNET + Ip.SOURCE)
    in_network(asm, Reg.R1, paths.network, otherwise="pass")
    asm.load(Size.U8, Reg.R1, DATA, ETHERNET + Ip.VERSION)
    asm.jump_if(Reg.R1, If.NE, 0x45, to="pass")
    for word in range(0, 16, 4):
        asm.load(Size.U32, Reg.R1, DATA, word)
        asm.store(Size.U32, Reg.FP, Stack.VALUE + Entry.MACS + word, Reg.R1)
    write_key(asm, ETHERNET, Way.IN)
    _meet(asm, paths, ETHERNET, paths.into)
    asm.load(Size.U32, Reg.R1, ENTRY, Met.LINK)
    asm.store(Size.U32, Reg.FP, Stack.VALUE + Entry.PEER, Reg.R1)
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.LINK)
    asm.store(Size.U32, Reg.FP, Stack.VALUE + Entry.LINK, Reg.R1)
    _prove(asm, paths.into)
    return asm.code()


def _meet(asm: Assembler, paths: Paths, at: int, table: int) -> None:
    """ENTRY = what is remembered of this very packet, which one hop alone has changed.

    Its identification tells it from others of its flow, also when a superpacket was cut on the way: the first piece
    keeps that. A flow that ended stays so.
    """
    asm.load(Size.U16, SIZE, DATA, at + Ip.LENGTH)
    asm.swap(16, SIZE)
    _store_packet(asm, at)
    read_clock(asm, paths)
    look_up(asm, paths.met, Stack.KEY)
    asm.jump_if(Reg.R0, If.EQ, 0, to="pass")
    asm.do(Op.MOV, ENTRY, Reg.R0)
    asm.load(Size.U64, Reg.R1, Reg.FP, Stack.NOW)
    asm.load(Size.U64, Reg.R2, ENTRY, Met.WHEN)
    asm.do(Op.ADD, Reg.R2, MEETING_ENDS_NS)
    asm.jump_if(Reg.R1, If.GT, Reg.R2, to="pass")
    for offset in (Met.IDENT, Met.TOS):
        size = Size.U16 if offset is Met.IDENT else Size.U8
        asm.load(size, Reg.R1, Reg.FP, Stack.MET + offset)
        asm.load(size, Reg.R2, ENTRY, offset)
        asm.jump_if(Reg.R1, If.NE, Reg.R2, to="pass")
    asm.load(Size.U8, Reg.R1, Reg.FP, Stack.MET + Met.TTL)
    asm.do(Op.ADD, Reg.R1, 1)
    asm.load(Size.U8, Reg.R2, ENTRY, Met.TTL)
    asm.jump_if(Reg.R1, If.NE, Reg.R2, to="pass")
    look_up(asm, table, Stack.KEY)
    asm.jump_if(Reg.R0, If.EQ, 0, to="goes_on")
    asm.load(Size.U64, Reg.R1, Reg.R0, Entry.GENERATION)
    asm.do(Op.MOV, Reg.R2, ENDED)
    asm.jump_if(Reg.R1, If.EQ, Reg.R2, to="pass")
    asm.label("goes_on")


def _store_packet(asm: Assembler, at: int) -> None:
    asm.load(Size.U16, Reg.R1, DATA, at + Ip.ID)
    asm.store(Size.U16, Reg.FP, Stack.MET + Met.IDENT, Reg.R1)
    asm.load(Size.U8, Reg.R1, DATA, at + Ip.TTL)
    asm.store(Size.U8, Reg.FP, Stack.MET + Met.TTL, Reg.R1)
    asm.load(Size.U8, Reg.R1, DATA, at + Ip.TOS)
    asm.store(Size.U8, Reg.FP, Stack.MET + Met.TOS, Reg.R1)


def _prove(asm: Assembler, table: int) -> None:
    """Put the flow's entry, proven now; an older one is replaced as a whole."""
    for offset in (0, 4):
        asm.load(Size.U32, Reg.R1, ENTRY, Met.MAC + offset)
        asm.store(Size.U32, Reg.FP, Stack.VALUE + Entry.MAC + offset, Reg.R1)
    asm.load(Size.U64, Reg.R1, Reg.FP, Stack.GENERATION)
    asm.store(Size.U64, Reg.FP, Stack.VALUE + Entry.GENERATION, Reg.R1)
    asm.load(Size.U64, Reg.R1, Reg.FP, Stack.NOW)
    asm.store(Size.U64, Reg.FP, Stack.VALUE + Entry.PROVEN, Reg.R1)
    asm.store(Size.U64, Reg.FP, Stack.VALUE + Entry.PROBED, 0)
    put(asm, table, Stack.KEY, Stack.VALUE)
    asm.label("pass")
    leave(asm, FilterVerdict.NEXT)
