"""The program on what the underlay receives: unpacks datagrams of fast peers, and gives them to the TUN device.

To the network stack they then come in on that device: routes, firewalls and bridges treat them like any other packet.
Whatever is not plainly a whole datagram of a fast peer, with a whole inner packet from that peer's subnet to ours, goes
on untouched: to the UDP socket, where the user-space plane judges and counts it, or to whomever it is for.
"""

from __future__ import annotations

import socket

from flanpy.model.tunnel import HEADERS
from flanpy.udp.bpf.assembler import Assembler, If, Op, Reg, Size
from flanpy.udp.bpf.layout import (
    DONT_CARE_FRAGMENT_BITS,
    ETH_P_IP,
    IPV4,
    PEER_FAST,
    SLOW,
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

_CONTEXT, _DATA, _SIZE, _CONGESTED = Reg.R6, Reg.R7, Reg.R8, Reg.R9
_ECN = 0x03
_INGRESS = 1


def ingress(wiring: Wiring) -> bytes:
    """The program's instructions."""
    asm = Assembler()
    asm.set(_CONTEXT, Reg.R1)
    _recognise(asm, wiring)
    _judge_outer(asm, wiring)
    _judge_inner(asm, wiring)
    _judge_size(asm, wiring)
    _judge_congestion(asm, wiring)
    _judge_sender(asm, wiring)
    _strip(asm, wiring)
    count(asm, wiring, Counter.RECEIVED, context=_CONTEXT, size=_SIZE)
    asm.set(Reg.R1, wiring.overlay)
    asm.set(Reg.R2, _INGRESS)
    asm.call(Helper.REDIRECT)
    asm.exit()
    asm.label("drop")
    count(asm, wiring, Counter.NOT_RECEIVED, context=_CONTEXT, size=_SIZE)
    leave(asm, FilterVerdict.DROP)
    asm.label("pass")
    leave(asm, FilterVerdict.NEXT)
    return asm.code()


def _recognise(asm: Assembler, wiring: Wiring) -> None:
    """UDP in IPv4 to our address and port, for this link and not for one of its VLANs: others leave here at once.

    A link in promiscuous mode also shows frames for other hosts (packet type not 0, PACKET_HOST).
    """
    outer = wiring.mac
    asm.load(Size.U32, Reg.R1, _CONTEXT, Skb.PROTOCOL)
    asm.jump_if(Reg.R1, If.NE, ETH_P_IP, to="pass")
    asm.load(Size.U32, Reg.R1, _CONTEXT, Skb.LEN)
    asm.jump_if(Reg.R1, If.LT, outer + HEADERS + IPV4, to="pass")
    bring_in(asm, outer + HEADERS + IPV4, context=_CONTEXT, data=_DATA, otherwise="pass")
    asm.load(Size.U8, Reg.R1, _DATA, outer + Ip.PROTOCOL)
    asm.jump_if(Reg.R1, If.NE, UDP, to="pass")
    asm.load(Size.U8, Reg.R1, _DATA, outer + Ip.VERSION)
    asm.jump_if(Reg.R1, If.NE, 0x45, to="pass")
    asm.load(Size.U16, Reg.R1, _DATA, outer + Udp.DESTINATION)
    asm.jump_if(Reg.R1, If.NE, socket.htons(wiring.port), to="pass")
    asm.load(Size.U32, Reg.R1, _DATA, outer + Ip.DESTINATION)
    asm.set(Reg.R2, constant(wiring.local))
    asm.jump_if(Reg.R1, If.NE, Reg.R2, to="pass")
    asm.load(Size.U32, Reg.R1, _CONTEXT, Skb.PACKET_TYPE)
    asm.jump_if(Reg.R1, If.NE, 0, to="pass")
    asm.load(Size.U32, Reg.R1, _CONTEXT, Skb.VLAN_PRESENT)
    asm.jump_if(Reg.R1, If.NE, 0, to="pass")


def _judge_outer(asm: Assembler, wiring: Wiring) -> None:
    """No fragment, and a header checksum that is right: the stack has not looked yet, and will see the inner one only.

    The sum over a right header, checksum included, is 0xFFFF (RFC 1071).
    """
    outer = wiring.mac
    asm.load(Size.U16, Reg.R1, _DATA, outer + Ip.FRAGMENT)
    asm.swap(16, Reg.R1)
    asm.jump_if(Reg.R1, If.ANY, 0xFFFF & ~DONT_CARE_FRAGMENT_BITS, to="pass")
    asm.set(Reg.R1, 0)
    for word in range(0, IPV4, 4):
        asm.load(Size.U32, Reg.R2, _DATA, outer + word)
        asm.do(Op.ADD, Reg.R1, Reg.R2)
    fold(asm, Reg.R1, Reg.R2)
    asm.jump_if(Reg.R1, If.NE, 0xFFFF, to="pass")


def _judge_inner(asm: Assembler, wiring: Wiring) -> None:
    """IPv4 that may hop once more, to our own subnet, with all three lengths saying the same; _SIZE = its size."""
    outer, inner = wiring.mac, wiring.mac + HEADERS
    asm.load(Size.U8, Reg.R1, _DATA, inner + Ip.VERSION)
    asm.jump_if(Reg.R1, If.LT, 0x45, to="pass")
    asm.jump_if(Reg.R1, If.GT, 0x4F, to="pass")
    asm.load(Size.U8, Reg.R1, _DATA, inner + Ip.TTL)
    asm.jump_if(Reg.R1, If.LE, 1, to="pass")
    asm.load(Size.U32, Reg.R1, _DATA, inner + Ip.DESTINATION)
    asm.set(Reg.R2, constant(wiring.own.netmask))
    asm.do(Op.AND, Reg.R1, Reg.R2)
    asm.set(Reg.R2, constant(wiring.own.network_address))
    asm.jump_if(Reg.R1, If.NE, Reg.R2, to="pass")
    asm.load(Size.U16, _SIZE, _DATA, inner + Ip.LENGTH)
    asm.swap(16, _SIZE)
    asm.jump_if(_SIZE, If.LT, IPV4, to="pass")
    _check_length(asm, outer + Ip.LENGTH, HEADERS)
    _check_length(asm, outer + Udp.LENGTH, HEADERS - IPV4)


def _check_length(asm: Assembler, offset: int, headers: int) -> None:
    asm.load(Size.U16, Reg.R1, _DATA, offset)
    asm.swap(16, Reg.R1)
    asm.do(Op.SUB, Reg.R1, headers)
    asm.jump_if(Reg.R1, If.NE, _SIZE, to="pass")


def _judge_size(asm: Assembler, wiring: Wiring) -> None:
    """All of it must be here, and fit the TUN device, or that would drop it uncounted.

    Datagrams that the kernel joined for the socket of the user-space plane are superpackets as well, but of UDP: what
    tells them from a peer's are their lengths, and a checksum, without which none are joined (net/ipv4/udp_offload.c).
    """
    outer = wiring.mac
    asm.load(Size.U32, Reg.R2, _CONTEXT, Skb.LEN)
    asm.do(Op.SUB, Reg.R2, outer + HEADERS)
    asm.load(Size.U32, Reg.R1, _CONTEXT, Skb.GSO_SIZE)
    asm.jump_if(Reg.R1, If.NE, 0, to="superpacket")
    asm.jump_if(Reg.R2, If.LT, _SIZE, to="pass")
    asm.jump_if(_SIZE, If.GT, wiring.mtu, to="pass")
    asm.jump("fits")
    asm.label("superpacket")
    asm.jump_if(Reg.R2, If.NE, _SIZE, to="pass")
    asm.jump_if(Reg.R1, If.GT, wiring.mtu - IPV4, to="pass")
    asm.load(Size.U16, Reg.R1, _DATA, outer + Udp.CHECKSUM)
    asm.jump_if(Reg.R1, If.NE, 0, to="pass")
    asm.load(Size.U8, Reg.R1, _DATA, outer + HEADERS + Ip.PROTOCOL)
    asm.jump_if(Reg.R1, If.NE, TCP, to="pass")
    asm.label("fits")


def _judge_congestion(asm: Assembler, wiring: Wiring) -> None:
    """_CONGESTED = what to add to the inner ECN bits (RFC 6040); a packet that may not be marked is left alone."""
    asm.set(_CONGESTED, 0)
    asm.load(Size.U8, Reg.R1, _DATA, wiring.mac + Ip.TOS)
    asm.do(Op.AND, Reg.R1, _ECN)
    asm.jump_if(Reg.R1, If.NE, _ECN, to="uncongested")
    asm.load(Size.U8, Reg.R1, _DATA, wiring.mac + HEADERS + Ip.TOS)
    asm.do(Op.AND, Reg.R1, _ECN)
    asm.jump_if(Reg.R1, If.EQ, 0, to="pass")
    asm.set(_CONGESTED, _ECN)
    asm.do(Op.SUB, _CONGESTED, Reg.R1)
    asm.label("uncongested")


def _judge_sender(asm: Assembler, wiring: Wiring) -> None:
    """The inner source's longest prefix must be the subnet of the very peer that sent this, and a fast one."""
    asm.load(Size.U32, Reg.R1, _DATA, wiring.mac + HEADERS + Ip.SOURCE)
    find_peer(asm, wiring, Reg.R1, otherwise="pass")
    asm.load(Size.U32, Reg.R1, Reg.R0, PEER_FAST)
    asm.jump_if(Reg.R1, If.EQ, SLOW, to="pass")
    asm.load(Size.U32, Reg.R1, Reg.R0)
    asm.load(Size.U32, Reg.R2, _DATA, wiring.mac + Ip.SOURCE)
    asm.jump_if(Reg.R1, If.NE, Reg.R2, to="pass")


def _strip(asm: Assembler, wiring: Wiring) -> None:
    """Take the outer headers away, behind the link layer's, which the redirection removes; then change the inner one.

    What a NIC said of checksums was said of the outer packet, so the helper withdraws it.
    """
    asm.set(Reg.R1, _CONTEXT)
    asm.do(Op.MOV, Reg.R2, -HEADERS)
    asm.set(Reg.R3, Room.MAC)
    asm.set(Reg.R4, Room.FIXED_GSO)
    asm.call(Helper.ADJUST_ROOM)
    asm.jump_if(Reg.R0, If.NE, 0, to="pass")
    bring_in(asm, wiring.mac + IPV4, context=_CONTEXT, data=_DATA, otherwise="drop")
    decrement_ttl(asm, _DATA, wiring.mac)
    _mark_congestion(asm, wiring)


def _mark_congestion(asm: Assembler, wiring: Wiring) -> None:
    """Raise the two ECN bits to 3; the checksum falls by as much in the same word, which is its second byte."""
    asm.jump_if(_CONGESTED, If.EQ, 0, to="marked")
    asm.load(Size.U8, Reg.R1, _DATA, wiring.mac + Ip.TOS)
    asm.do(Op.OR, Reg.R1, _ECN)
    asm.store(Size.U8, _DATA, wiring.mac + Ip.TOS, Reg.R1)
    asm.load(Size.U16, Reg.R1, _DATA, wiring.mac + Ip.CHECKSUM)
    asm.swap(16, Reg.R1)
    asm.jump_if(Reg.R1, If.GE, _CONGESTED, to="no_borrow")
    asm.do(Op.ADD, Reg.R1, 0xFFFF)
    asm.label("no_borrow")
    asm.do(Op.SUB, Reg.R1, _CONGESTED)
    asm.swap(16, Reg.R1)
    asm.store(Size.U16, _DATA, wiring.mac + Ip.CHECKSUM, Reg.R1)
    asm.label("marked")
