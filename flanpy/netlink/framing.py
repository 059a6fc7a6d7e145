"""Netlink framing (RFC 3549 section 2.3): headers, attributes, and the content of an NLMSG_ERROR.

Owns bytes, not meanings. Must not: open a socket, or know a model object.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EBADMSG
from typing import Final

from flanpy.netlink.numbers import ACK_TLVS

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
HEADER_SIZE = HEADER.size
SEQUENCE_OFFSET = 8
FLAGS_OFFSET = 6
ATTRIBUTE = struct.Struct("=HH")
U16 = struct.Struct("=H")
U32 = struct.Struct("=I")
S32 = struct.Struct("=i")
_EXT_ACK_MESSAGE = 1
_MAX_ERRNO = 4095  # linux/err.h
_NESTED_AND_ORDER_FLAGS = 0xC000
_ESCAPED: Final = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class KernelRefusal:
    """The kernel's answer to a request that it did not carry out; `text` is its extended ack, often empty."""

    errno: int
    text: str = ""


def frame(kind: int, flags: int, body: bytes) -> bytearray:
    """Return a message without sequence number; the socket stamps it."""
    return bytearray(HEADER.pack(HEADER_SIZE + len(body), kind, flags, 0, 0) + body)


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    size = len(value)
    return ATTRIBUTE.pack(4 + size, kind) + value + bytes(-size & 3)


def attributes(buffer: bytes, start: int, end: int) -> dict[int, bytes]:
    """Return the attributes in `buffer[start:end]` by number; of equal numbers the last."""
    found = {}
    unpack = ATTRIBUTE.unpack_from
    while start + 4 <= end:
        length, kind = unpack(buffer, start)
        if length < 4:
            break
        found[kind & ~_NESTED_AND_ORDER_FLAGS] = buffer[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def each_attribute(buffer: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield number and value of each attribute from `start`, as far as they are whole; equal numbers one by one."""
    end = len(buffer)
    while start + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(buffer, start)
        if length < 4:
            return
        yield kind & ~_NESTED_AND_ORDER_FLAGS, buffer[start + 4 : start + length]
        start += (length + 3) & ~3


def number(value: bytes) -> int:
    """Return a U32 in the machine's byte order; 0 for a value of another size."""
    return int(U32.unpack(value)[0]) if len(value) == U32.size else 0


def messages(buffer: bytes) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yield (start, end, type, flags, sequence, port) of each whole message in one datagram."""
    position, size = 0, len(buffer)
    while position + HEADER_SIZE <= size:
        length, kind, flags, sequence, port = HEADER.unpack_from(buffer, position)
        if length < HEADER_SIZE or position + length > size:
            break
        yield position, position + length, kind, flags, sequence, port
        position += (length + 3) & ~3


def text(value: bytes) -> str:
    r"""Read a NUL-terminated string; a name of a link is bytes, and those that are no UTF-8 become `\xb1`.

    So does a backslash (`\x5c`), so that each text has one name, and `packed` makes that of it again.
    """
    return value.split(b"\0", 1)[0].replace(b"\\", rb"\x5c").decode("utf-8", "backslashreplace")


def packed(name: str) -> bytes:
    """Make the bytes that `text` read; those of the command line (surrogate escapes) are taken as well."""
    return _ESCAPED.sub(
        lambda found: bytes.fromhex(found[1].decode()), name.encode("utf-8", "surrogateescape")
    )


def refusal(buffer: bytes, start: int, end: int, flags: int) -> KernelRefusal | None:
    """Return the refusal in an NLMSG_ERROR message; None for an acknowledgement. The socket needs NETLINK_CAP_ACK."""
    if end - start < HEADER_SIZE + S32.size:
        return KernelRefusal(EBADMSG)
    errno = -S32.unpack_from(buffer, start + HEADER_SIZE)[0]
    if errno == 0:
        return None
    if not 0 < errno <= _MAX_ERRNO:
        return KernelRefusal(EBADMSG)
    said = b""
    if flags & ACK_TLVS:
        after_request_header = start + HEADER_SIZE + 4 + HEADER_SIZE
        said = attributes(buffer, after_request_header, end).get(_EXT_ACK_MESSAGE, b"")
    return KernelRefusal(errno, text(said))
