"""The encoding of instructions, against those that linux/bpf.h and RFC 9669 give."""

from __future__ import annotations

import sys

import pytest

from flanpy.errors import KernelError
from flanpy.udp.bpf import syscall
from flanpy.udp.bpf.assembler import Assembler, If, Op, Reg, Size

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the expected bytes are little-endian")


@little_endian
def test_assembler_encodes_as_the_standard_says() -> None:
    asm = Assembler()
    asm.set(Reg.R6, Reg.R1)
    asm.set(Reg.R1, 0xFFFFFFFF)
    asm.load(Size.U16, Reg.R2, Reg.R6, 12)
    asm.store(Size.U32, Reg.FP, -8, 32)
    asm.store(Size.U64, Reg.FP, -16, Reg.R2)
    asm.do(Op.ADD, Reg.R2, -8)
    asm.swap(16, Reg.R2)
    asm.map(Reg.R1, 5)
    asm.call(1)
    asm.jump_if(Reg.R0, If.EQ, 0, to="end")
    asm.jump_if(Reg.R0, If.GT, Reg.R2, to="end")
    asm.jump("end")
    asm.label("end")
    asm.exit()
    assert [asm.code()[at : at + 8].hex(" ") for at in range(0, len(asm.code()), 8)] == [
        "bf 16 00 00 00 00 00 00",
        "b4 01 00 00 ff ff ff ff",
        "69 62 0c 00 00 00 00 00",
        "62 0a f8 ff 20 00 00 00",
        "7b 2a f0 ff 00 00 00 00",
        "07 02 00 00 f8 ff ff ff",
        "dc 02 00 00 10 00 00 00",
        "18 11 00 00 05 00 00 00",
        "00 00 00 00 00 00 00 00",
        "85 00 00 00 01 00 00 00",
        "15 00 02 00 00 00 00 00",
        "2d 20 01 00 00 00 00 00",
        "05 00 00 00 00 00 00 00",
        "95 00 00 00 00 00 00 00",
    ]


def test_assembler_refuses_a_jump_back() -> None:
    asm = Assembler()
    asm.label("start")
    asm.jump("start")
    with pytest.raises(KernelError, match="leads back"):
        asm.code()


@pytest.mark.netns
def test_refused_program_is_named_with_the_end_of_the_log() -> None:
    asm = Assembler()
    asm.load(Size.U32, Reg.R0, Reg.R5)
    asm.exit()
    with pytest.raises(KernelError, match=r"program broken \(the verifier: .*R5 !read_ok"):
        syscall.load_program("broken", asm.code())
