"""A small eBPF assembler: instructions one after another, labels for jumps, bytes for bpf(2).

Owns the encoding (RFC 9669; linux/bpf.h, linux/bpf_common.h) and nothing of what a program means. A conditional jump
may only lead forward, so a program always ends. Must not: call the kernel.
"""

from __future__ import annotations

import struct
import sys
from enum import IntEnum

from flanpy.errors import KernelError


class Reg(IntEnum):
    """R0 is a result, R1 to R5 are arguments and lost in a call, R6 to R9 survive calls, R10 is the stack's end."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    FP = 10


class Size(IntEnum):
    """The width of a load or store; the value is the bits of the opcode."""

    U8 = 0x10
    U16 = 0x08
    U32 = 0x00
    U64 = 0x18


class Op(IntEnum):
    """Arithmetic; the value is the bits of the opcode."""

    ADD = 0x00
    SUB = 0x10
    DIV = 0x30
    OR = 0x40
    AND = 0x50
    LSH = 0x60
    RSH = 0x70
    XOR = 0xA0
    MOV = 0xB0


class If(IntEnum):
    """Comparisons of a conditional jump, unsigned; the value is the bits of the opcode."""

    EQ = 0x10
    GT = 0x20
    GE = 0x30
    ANY = 0x40  # any common bit
    NE = 0x50
    LT = 0xA0
    LE = 0xB0


_LDX, _ST, _STX, _ALU, _JMP, _ALU64 = 0x01, 0x02, 0x03, 0x04, 0x05, 0x07
_MEM, _FROM_REGISTER = 0x60, 0x08
_LD_IMM64, _PSEUDO_MAP_FD = 0x18, 1
_TO_BIG_ENDIAN = 0xDC
_CALL, _EXIT, _ALWAYS = 0x85, 0x95, 0x05
_INSTRUCTION = struct.Struct("=BBhi")


class Assembler:
    """Collects instructions; `code` gives their bytes once all labels are set."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, int, int]] = []
        self._labels: dict[str, int] = {}
        self._jumps: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._instructions)

    def label(self, name: str) -> None:
        """Name the next instruction as a jump target."""
        assert name not in self._labels, name
        self._labels[name] = len(self)

    def load(self, size: Size, into: Reg, base: Reg, offset: int = 0) -> None:
        """into = *(base + offset)."""
        self._add(_LDX | _MEM | size, into, base, offset)

    def store(self, size: Size, base: Reg, offset: int, value: Reg | int) -> None:
        """*(base + offset) = value."""
        if isinstance(value, Reg):
            self._add(_STX | _MEM | size, base, value, offset)
        else:
            self._add(_ST | _MEM | size, base, 0, offset, value)

    def set(self, into: Reg, value: Reg | int) -> None:
        """into = value; a constant is of 32 bits, not sign-extended."""
        if isinstance(value, Reg):
            self.do(Op.MOV, into, value)
        else:
            self._add(_ALU | Op.MOV, into, 0, 0, value)

    def do(self, op: Op, into: Reg, value: Reg | int) -> None:
        """into = into <op> value, in 64 bits; a constant is sign-extended."""
        if isinstance(value, Reg):
            self._add(_ALU64 | op | _FROM_REGISTER, into, value)
        else:
            self._add(_ALU64 | op, into, 0, 0, value)

    def swap(self, bits: int, register: Reg) -> None:
        """Between network and host byte order, of the lowest 16 or 32 bits; the rest becomes 0."""
        self._add(_TO_BIG_ENDIAN, register, 0, 0, bits)

    def jump(self, to: str) -> None:
        self._jumps[len(self)] = to
        self._add(_ALWAYS)

    def jump_if(self, left: Reg, comparison: If, right: Reg | int, *, to: str) -> None:
        """Forward, if `left <comparison> right` in 64 bits; a constant is sign-extended."""
        self._jumps[len(self)] = to
        if isinstance(right, Reg):
            self._add(_JMP | comparison | _FROM_REGISTER, left, right)
        else:
            self._add(_JMP | comparison, left, 0, 0, right)

    def map(self, into: Reg, descriptor: int) -> None:
        """into = the map, by its file descriptor: a constant of 64 bits that takes two instructions."""
        self._add(_LD_IMM64, into, _PSEUDO_MAP_FD, 0, descriptor)
        self._add(0)

    def call(self, helper: int) -> None:
        """R0 = helper(R1, ... R5)."""
        self._add(_CALL, 0, 0, 0, helper)

    def exit(self) -> None:
        """Leave the program; R0 is its verdict."""
        self._add(_EXIT)

    def code(self) -> bytes:
        return b"".join(self._encoded(at) for at in range(len(self)))

    def _add(self, opcode: int, into: int = 0, source: int = 0, offset: int = 0, constant: int = 0) -> None:
        self._instructions.append((opcode, _registers(into, source), offset, _signed(constant)))

    def _encoded(self, at: int) -> bytes:
        opcode, registers, offset, constant = self._instructions[at]
        if at in self._jumps:
            offset = self._labels[self._jumps[at]] - at - 1
            if offset < 0:
                raise KernelError(f"a jump to {self._jumps[at]} leads back, which could be forever")
        return _INSTRUCTION.pack(opcode, registers, offset, constant)


def _registers(into: int, source: int) -> int:
    """One byte for two registers, whose halves change places with the byte order."""
    return into | source << 4 if sys.byteorder == "little" else into << 4 | source


def _signed(constant: int) -> int:
    return constant - (1 << 32) if constant >= 1 << 31 else constant
