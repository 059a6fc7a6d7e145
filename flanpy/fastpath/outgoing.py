"""The program on what a container sends: wraps packets of proven flows as the VXLAN device would, and sends them.

On the host's end of each container's veth. Whatever it does not know goes the normal way, unchanged; what it can be
recognised by behind that is remembered, for the learner on the underlay.
"""

from __future__ import annotations

from typing import Final

from flanpy.fastpath.layout import (
    CONTEXT,
    DATA,
    ENTRY,
    FAST_MARK,
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
from flanpy.udp.bpf.assembler import Assembler, If, Op, Reg, Size
from flanpy.udp.bpf.layout import (
    ETHERNET,
    IPV4,
    FilterVerdict,
    Helper,
    Ip,
    Room,
    Skb,
    Udp,
    bring_in,
    decrement_ttl,
    fold,
    leave,
)

_INNER: Final = ETHERNET + OUTER
_ECN: Final = 0x03


def outgoing(paths: Paths) -> bytes:
    """The program's instructions."""
    asm = Assembler()
    asm.set(CONTEXT, Reg.R1)
    _recognise(asm, paths)
    read_clock(asm, paths)
    follow_tcp(asm, ETHERNET, paths.out)
    find_proven(asm, paths.out)
    _judge_sender(asm)
    judge_size(asm, ETHERNET, Stack.MTU_OUT)
    _wrap(asm)
    _send(asm, paths)
    asm.label("slow")
    put(asm, paths.met, Stack.KEY, Stack.MET)
    asm.label("pass")
    leave(asm, FilterVerdict.NEXT)
    asm.label("drop")
    leave(asm, FilterVerdict.DROP)
    return asm.code()


def _recognise(asm: Assembler, paths: Paths) -> None:
    """A whole packet to another subnet of the network."""
    judge_frame(asm, otherwise="pass")
    bring_in(asm, ETHERNET + IPV4 + 8, context=CONTEXT, data=DATA, otherwise="pass")
    asm.load(Size.U32, Reg.R1, DATA, ETHERNET + Ip.DESTINATION)
    asm.set(Reg.R3, Reg.R1)
    in_network(asm, Reg.R1, paths.network, otherwise="pass")
    in_network(asm, Reg.R3, paths.own, otherwise="to_another_subnet")
    asm.jump("pass")
    asm.label("to_another_subnet")
    judge_packet(asm, ETHERNET)
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.LEN)
    asm.do(Op.SUB, Reg.R1, ETHERNET)
    asm.jump_if(Reg.R1, If.NE, SIZE, to="pass")
    asm.jump_if(SIZE, If.GT, 0xFFFF - OUTER, to="pass")
    write_key(asm, ETHERNET, Way.OUT)
    note_packet(asm, ETHERNET, mac=0)
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.LINK)
    asm.store(Size.U32, Reg.FP, Stack.MET + Met.LINK, Reg.R1)


def _judge_sender(asm: Assembler) -> None:
    """The same veth as the packet that proved the flow, and the same next hop."""
    asm.load(Size.U32, Reg.R1, CONTEXT, Skb.LINK)
    asm.load(Size.U32, Reg.R2, ENTRY, Entry.LINK)
    asm.jump_if(Reg.R1, If.NE, Reg.R2, to="slow")
    same_mac(asm)


def _wrap(asm: Assembler) -> None:
    """Make room, as for a tunnel, and put the headers in that the device made; the inner MAC addresses are among them.

    Refused, it has changed nothing.
    """
    asm.set(Reg.R1, CONTEXT)
    asm.set(Reg.R2, OUTER)
    asm.set(Reg.R3, Room.MAC)
    asm.set(Reg.R4, ETHERNET)
    asm.do(Op.LSH, Reg.R4, 56)
    asm.do(Op.OR, Reg.R4, Room.FIXED_GSO | Room.OUTER_IPV4 | Room.OUTER_UDP | Room.OUTER_ETHERNET)
    asm.call(Helper.ADJUST_ROOM)
    asm.jump_if(Reg.R0, If.NE, 0, to="slow")
    bring_in(asm, _INNER + IPV4, context=CONTEXT, data=DATA, otherwise="drop")
    decrement_ttl(asm, DATA, _INNER)
    for word in range(0, _INNER, 8):
        asm.load(Size.U64, Reg.R1, ENTRY, Entry.HEADER + word)
        asm.store(Size.U64, DATA, word, Reg.R1)
    asm.call(Helper.RANDOM)
    asm.store(Size.U16, DATA, ETHERNET + Ip.ID, Reg.R0)
    for offset, more in ((Ip.LENGTH, OUTER), (Udp.LENGTH, OUTER - IPV4)):
        asm.set(Reg.R1, SIZE)
        asm.do(Op.ADD, Reg.R1, more)
        asm.swap(16, Reg.R1)
        asm.store(Size.U16, DATA, ETHERNET + offset, Reg.R1)
    asm.store(
        Size.U16, DATA, ETHERNET + Udp.CHECKSUM, 0
    )  # none, as RFC 7348 has it: the inner one may not be made yet
    _copy_congestion(asm)
    _sum_header(asm)


def _copy_congestion(asm: Assembler) -> None:
    """The two ECN bits of the inner packet, a congested one as ECT(0): INET_ECN_encapsulate()."""
    asm.load(Size.U32, Reg.R1, Reg.FP, Stack.TOS)
    asm.do(Op.AND, Reg.R1, _ECN)
    asm.jump_if(Reg.R1, If.NE, _ECN, to="not_congested")
    asm.set(Reg.R1, 2)
    asm.label("not_congested")
    asm.store(Size.U8, DATA, ETHERNET + Ip.TOS, Reg.R1)


def _sum_header(asm: Assembler) -> None:
    asm.store(Size.U16, DATA, ETHERNET + Ip.CHECKSUM, 0)
    asm.set(Reg.R1, 0)
    for word in range(0, IPV4, 4):
        asm.load(Size.U32, Reg.R2, DATA, ETHERNET + word)
        asm.do(Op.ADD, Reg.R1, Reg.R2)
    fold(asm, Reg.R1, Reg.R2)
    asm.do(Op.XOR, Reg.R1, 0xFFFF)
    asm.store(Size.U16, DATA, ETHERNET + Ip.CHECKSUM, Reg.R1)


def _send(asm: Assembler, paths: Paths) -> None:
    """Out on the underlay, to the next hop of the packet that proved the flow."""
    asm.set(Reg.R1, FAST_MARK)
    asm.store(Size.U32, CONTEXT, Skb.TC_INDEX, Reg.R1)
    asm.load(Size.U32, Reg.R1, ENTRY, Entry.PEER)
    asm.store(Size.U32, Reg.FP, Stack.PEER, Reg.R1)
    tally(asm, paths, Tally.FAST_OUT)
    asm.set(Reg.R1, paths.underlay)
    asm.set(Reg.R2, 0)
    asm.call(Helper.REDIRECT)
    asm.exit()
