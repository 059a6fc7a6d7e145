"""The Internet checksum (RFC 1071): the ones' complement sum of 16-bit words."""

from __future__ import annotations

from sys import byteorder


def word_sum(text: bytes | bytearray | memoryview) -> int:
    """The folded sum of the big-endian words, 0 to 0xFFFF; a last odd byte counts as if a zero followed it.

    A big-endian number is congruent to the sum of its 16-bit digits modulo 0xFFFF, so one division does it all.
    """
    number = int.from_bytes(text, "big")
    if len(text) & 1:
        number <<= 8
    # The residue of a sum that is not 0 but divisible is 0xFFFF, the other zero of ones' complement.
    return number % 0xFFFF or (0xFFFF if number else 0)


def checksum(text: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Compute a header's checksum, its field being zero meanwhile; `start` is an initial sum (a pseudo header's)."""
    return ~fold(start + word_sum(text)) & 0xFFFF


def fold(total: int) -> int:
    """Carry what is above 16 bits around."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ttl_less(old: int) -> int:
    """The IPv4 header checksum once the TTL is one less: the word it is in lost 0x0100 (RFC 1141)."""
    new = old + 0x0100
    return (new + (new >= 0xFFFF)) & 0xFFFF


def changed(total: int, before: int, after: int) -> int:
    """The checksum `total` once the word `before` has become `after` (RFC 1624, equation 3)."""
    return ~fold((~total & 0xFFFF) + (~before & 0xFFFF) + after) & 0xFFFF


def native(number: int) -> int:
    """A big-endian word, or a sum of such, as the machine reads it (RFC 1071, 2.B: bytes swap in sums too)."""
    return number if byteorder == "big" else (number >> 8) | (number & 0xFF) << 8
