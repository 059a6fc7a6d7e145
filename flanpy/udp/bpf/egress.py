"""The program on what leaves the TUN device: encapsulates packets to fast peers and sends them out on the underlay.

Whatever it does not understand goes on to the TUN device's queue, and so to the user-space plane, as if there were no
program: until the packet is changed for the first time, every doubt ends at `pass`. Superpackets (segments not yet
cut, inner checksum not yet made) stay whole, marked so that the kernel or the NIC cuts and sums them on the way out.
"""

from __future__ import annotations

import socket

from flanpy.model.tunnel import HEADERS
from flanpy.udp.bpf.assembler import Assembler, If, Op, Reg, Size
from flanpy.udp.bpf.layout import (
    ETH_P_IP,
    FAST,
    IPV4,
    LARGEST,
    PEER_FAST,
    TCP,
    UDP,
    Counter,
    FilterVerdict,
    Helper,
    Ip,
    Room,
    Skb,
    Udp,
    Wiring,
    bring_in,
    constant,
    count,
    decrement_ttl,
    find_peer,
    fold,
    leave,
)

_CONTEXT, _DATA, _SIZE, _PEER = Reg.R6, Reg.R7, Reg.R8, Reg.R9
_TOS = -16  # on the stack
_OUTER_TTL = 64


def egress(wiring: Wiring) -> bytes:
    """The program's instructions. The TUN device has no link layer: a packet starts with its IP header."""
    asm = Assembler()
    asm.set(_CONTEXT, Reg.R1)
    _judge(asm, wiring)
    _choose_peer(asm, wiring)
    _make_room(asm, wiring)
    bring_in(asm, wiring.mac + HEADERS + IPV4, context=_CONTEXT, data=_DATA, otherwise="drop")
    decrement_ttl(asm, _DATA, wiring.mac + HEADERS)
    _write_headers(asm, wiring)
    count(asm, wiring, Counter.SENT, context=_CONTEXT, size=_SIZE)
    _send(asm, wiring)
    asm.label("drop")
    count(asm, wiring, Counter.NOT_SENT, context=_CONTEXT, size=_SIZE)
    leave(asm, FilterVerdict.DROP)
    asm.label("pass")
    leave(asm, FilterVerdict.NEXT)
    return asm.code()


def _judge(asm: Assembler, wiring: Wiring) -> None:
    """An IPv4 packet that says its true size, may hop once more, and fits: nothing else is touched.

    The network stack has made what goes to this device fit its MTU; a raw socket may still send anything. A superpacket
    fits if its segments do, and must leave room for the outer headers in the 16 bits of a total length.

    Superpackets of UDP are left to the TUN device, for which the kernel cuts them. Unpacked by the peer, one that came
    over a virtual wire would still be marked as tunnelled, which no program can undo, and the kernel would look for
    segments of a tunnel in it when it is to be cut (net/ipv4/udp_offload.c). TCP is cut without regard to that mark.
    """
    asm.load(Size.U32, Reg.R1, _CONTEXT, Skb.PROTOCOL)
    asm.jump_if(Reg.R1, If.NE, ETH_P_IP, to="pass")
    bring_in(asm, IPV4, context=_CONTEXT, data=_DATA, otherwise="pass")
    asm.load(Size.U8, Reg.R1, _DATA, Ip.VERSION)
    asm.jump_if(Reg.R1, If.LT, 0x45, to="pass")
    asm.jump_if(Reg.R1, If.GT, 0x4F, to="pass")
    asm.load(Size.U8, Reg.R1, _DATA, Ip.TTL)
    asm.jump_if(Reg.R1, If.LE, 1, to="pass")
    asm.load(Size.U32, _SIZE, _CONTEXT, Skb.LEN)
    asm.load(Size.U16, Reg.R1, _DATA, Ip.LENGTH)
    asm.swap(16, Reg.R1)
    asm.jump_if(Reg.R1, If.NE, _SIZE, to="pass")
    asm.jump_if(_SIZE, If.GT, LARGEST - HEADERS, to="pass")
    asm.load(Size.U32, Reg.R1, _CONTEXT, Skb.GSO_SIZE)
    asm.jump_if(Reg.R1, If.EQ, 0, to="whole")
    asm.jump_if(Reg.R1, If.GT, wiring.mtu - IPV4, to="pass")
    asm.load(Size.U8, Reg.R1, _DATA, Ip.PROTOCOL)
    asm.jump_if(Reg.R1, If.EQ, TCP, to="fits")
    asm.jump("pass")
    asm.label("whole")
    asm.jump_if(_SIZE, If.GT, wiring.mtu, to="pass")
    asm.label("fits")
    asm.load(Size.U8, Reg.R1, _DATA, Ip.TOS)
    asm.store(Size.U32, Reg.FP, _TOS, Reg.R1)


def _choose_peer(asm: Assembler, wiring: Wiring) -> None:
    """The peer whose subnet is the longest prefix; only one that has this plane, too, can receive what it sends."""
    asm.load(Size.U32, Reg.R1, _DATA, Ip.DESTINATION)
    find_peer(asm, wiring, Reg.R1, otherwise="pass")
    asm.load(Size.U32, Reg.R1, Reg.R0, PEER_FAST)
    asm.jump_if(Reg.R1, If.NE, FAST, to="pass")
    asm.load(Size.U32, _PEER, Reg.R0)


def _make_room(asm: Assembler, wiring: Wiring) -> None:
    """Room for the outer headers, and for a link layer header that the redirection fills in.

    The first call says that what follows is encapsulated, so that segments are cut behind all headers. Segments keep
    their size: they were cut for this device's MTU, which leaves room. Refused (an already encapsulated packet, a kind
    of superpacket that the kernel cannot cut again), it has changed nothing.
    """
    asm.set(Reg.R1, _CONTEXT)
    asm.set(Reg.R2, HEADERS)
    asm.set(Reg.R3, Room.MAC)
    asm.set(Reg.R4, Room.FIXED_GSO | Room.OUTER_IPV4 | Room.OUTER_UDP)
    asm.call(Helper.ADJUST_ROOM)
    asm.jump_if(Reg.R0, If.NE, 0, to="pass")
    if wiring.mac:
        asm.set(Reg.R1, _CONTEXT)
        asm.set(Reg.R2, wiring.mac)
        asm.set(Reg.R3, 0)
        asm.call(Helper.CHANGE_HEAD)
        asm.jump_if(Reg.R0, If.NE, 0, to="drop")


def _write_headers(asm: Assembler, wiring: Wiring) -> None:
    """Write the outer IPv4 and UDP headers. Both lengths, and the identification, are rewritten for each segment cut.

    Don't Fragment is not set and the identification is random, so a smaller MTU on the way costs speed and not the
    connection. The UDP checksum is 0, "none" (RFC 768), as in the kernel's VXLAN: the inner packet has its own, which
    is not always made yet. TOS is the inner one, so that congestion marks and priorities work on the underlay.
    """
    outer = wiring.mac
    asm.call(Helper.RANDOM)
    asm.store(Size.U16, _DATA, outer + Ip.ID, Reg.R0)
    asm.store(Size.U8, _DATA, outer + Ip.VERSION, 0x45)
    asm.load(Size.U32, Reg.R1, Reg.FP, _TOS)
    asm.store(Size.U8, _DATA, outer + Ip.TOS, Reg.R1)
    _store_length(asm, outer + Ip.LENGTH, HEADERS)
    asm.store(Size.U16, _DATA, outer + Ip.FRAGMENT, 0)
    asm.store(Size.U8, _DATA, outer + Ip.TTL, _OUTER_TTL)
    asm.store(Size.U8, _DATA, outer + Ip.PROTOCOL, UDP)
    asm.store(Size.U16, _DATA, outer + Ip.CHECKSUM, 0)
    asm.store(Size.U32, _DATA, outer + Ip.SOURCE, constant(wiring.local))
    asm.store(Size.U32, _DATA, outer + Ip.DESTINATION, _PEER)
    asm.store(Size.U16, _DATA, outer + Udp.SOURCE, socket.htons(wiring.port))
    asm.store(Size.U16, _DATA, outer + Udp.DESTINATION, socket.htons(wiring.port))
    _store_length(asm, outer + Udp.LENGTH, HEADERS - IPV4)
    asm.store(Size.U16, _DATA, outer + Udp.CHECKSUM, 0)
    asm.set(Reg.R1, 0)
    for word in range(0, IPV4, 4):
        asm.load(Size.U32, Reg.R2, _DATA, outer + word)
        asm.do(Op.ADD, Reg.R1, Reg.R2)
    fold(asm, Reg.R1, Reg.R2)
    asm.do(Op.XOR, Reg.R1, 0xFFFF)
    asm.store(Size.U16, _DATA, outer + Ip.CHECKSUM, Reg.R1)


def _store_length(asm: Assembler, offset: int, headers: int) -> None:
    asm.set(Reg.R1, _SIZE)
    asm.do(Op.ADD, Reg.R1, headers)
    asm.swap(16, Reg.R1)
    asm.store(Size.U16, _DATA, offset, Reg.R1)


def _send(asm: Assembler, wiring: Wiring) -> None:
    """Out on the underlay: over the route and neighbour of the peer, or as it is where there is no link layer."""
    asm.set(Reg.R1, wiring.underlay)
    asm.set(Reg.R2, 0)
    if wiring.mac:
        asm.set(Reg.R3, 0)
        asm.set(Reg.R4, 0)
        asm.call(Helper.REDIRECT_NEIGH)
    else:
        asm.call(Helper.REDIRECT)
    asm.exit()
