"""The host's own DNS servers: read from resolv.conf, and asked what is not ours.

A question goes out as it came, but with an id and from a port of its own, and an answer counts only if it comes from
the server that was asked and repeats both id and question: a container must not slip an answer to another one.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from flanpy.model.address import IPAddress

MOST_SERVERS: Final = 3
"""Servers that are asked, as resolv.conf(5) has it."""
WAIT_S: Final = 1.2
"""Seconds for each: three are over before Docker gives up on us after 4 s."""
PORT: Final = 53
_LENGTH: Final = struct.Struct("!H")
_LARGEST: Final = 65_535


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server of the host, by address and port."""

    address: IPAddress
    port: int = PORT


def read_resolv_conf(text: str, own: Iterable[IPAddress]) -> tuple[Upstream, ...]:
    """Return the servers of a resolv.conf, without our own address: we would ask ourselves."""
    ours = frozenset(own)
    found: list[Upstream] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        with suppress(ValueError):
            address = ip_address(words[1])
            if address not in ours:
                found.append(Upstream(address))
    return tuple(dict.fromkeys(found))[:MOST_SERVERS]


async def ask(question: bytes, servers: Iterable[Upstream], *, by_tcp: bool = False) -> bytes | None:
    """Return the first answer, with the question's own id; None if no server gave one."""
    own_id = secrets.token_bytes(2)
    sent = own_id + question[2:]
    for server in servers:
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(WAIT_S):
                answer = await (_by_tcp(sent, server) if by_tcp else _by_udp(sent, server))
            return question[:2] + answer[2:]
    return None


def is_answer(sent: bytes, came: bytes) -> bool:
    """Report whether octets are the answer to the question: same id, an answer, and the same question in it."""
    if len(came) < 12 or came[:2] != sent[:2] or not came[2] & 0x80:
        return False
    if came[4:6] == b"\0\0":  # servers leave the question out of some refusals
        return bool(came[3] & 0x0F)
    end = _question_end(sent)
    return came[4:6] == b"\0\1" and came[12:end].lower() == sent[12:end].lower()


def _question_end(sent: bytes) -> int:
    at = 12
    while at < len(sent) and sent[at]:
        at += sent[at] + 1
    return at + 5


async def _by_udp(sent: bytes, server: Upstream) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET if server.address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as connection:
        # Connected: the kernel drops what comes from elsewhere, and tells at once of a port that nobody has.
        connection.connect((str(server.address), server.port))
        await loop.sock_sendall(connection, sent)
        while True:
            came = await loop.sock_recv(connection, _LARGEST)
            if is_answer(sent, came):
                return came


async def _by_tcp(sent: bytes, server: Upstream) -> bytes:
    reader, writer = await asyncio.open_connection(str(server.address), server.port)
    try:
        writer.write(_LENGTH.pack(len(sent)) + sent)
        await writer.drain()
        (length,) = _LENGTH.unpack(await reader.readexactly(2))
        came = await reader.readexactly(length)
    finally:
        writer.close()
    if not is_answer(sent, came):
        raise EOFError
    return came
