"""The step by which both programs on the underlay tell VXLAN of our network from all else."""

from __future__ import annotations

import socket
from typing import Final

from flanpy.fastpath.layout import DATA, Paths
from flanpy.udp.bpf.assembler import Assembler, If, Reg, Size
from flanpy.udp.bpf.layout import DONT_CARE_FRAGMENT_BITS, ETH_P_IP, ETHERNET, IPV4, UDP, Ip, Udp, constant

_VXLAN: Final = ETHERNET + IPV4 + 8
_INNER_TYPE: Final = _VXLAN + 8 + 12


def recognise_outer(asm: Assembler, paths: Paths, ours: Reg, *, otherwise: str) -> None:
    """UDP to the VXLAN port, unfragmented, with our VNI and IPv4 in it; `ours`: the address in it that should be ours.

    A checksum of the outer UDP header is not looked at: all that it guards is compared, or has a checksum of its own.
    """
    asm.set(Reg.R2, constant(paths.local))
    asm.jump_if(ours, If.NE, Reg.R2, to=otherwise)
    asm.load(Size.U8, Reg.R1, DATA, ETHERNET + Ip.PROTOCOL)
    asm.jump_if(Reg.R1, If.NE, UDP, to=otherwise)
    asm.load(Size.U8, Reg.R1, DATA, ETHERNET + Ip.VERSION)
    asm.jump_if(Reg.R1, If.NE, 0x45, to=otherwise)
    asm.load(Size.U16, Reg.R1, DATA, ETHERNET + Udp.DESTINATION)
    asm.jump_if(Reg.R1, If.NE, socket.htons(paths.port), to=otherwise)
    asm.load(Size.U16, Reg.R1, DATA, ETHERNET + Ip.FRAGMENT)
    asm.swap(16, Reg.R1)
    asm.jump_if(Reg.R1, If.ANY, 0xFFFF & ~DONT_CARE_FRAGMENT_BITS, to=otherwise)
    for offset, word in zip((0, 4), paths.vxlan_words, strict=True):
        asm.load(Size.U32, Reg.R1, DATA, _VXLAN + offset)
        asm.set(Reg.R2, word)
        asm.jump_if(Reg.R1, If.NE, Reg.R2, to=otherwise)
    asm.load(Size.U16, Reg.R1, DATA, _INNER_TYPE)
    asm.jump_if(Reg.R1, If.NE, ETH_P_IP, to=otherwise)
