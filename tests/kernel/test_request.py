"""The request socket against a peer that answers as a kernel in trouble would."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flanpy.errors import KernelError
from flanpy.kernel.request import RequestSocket
from flanpy.netlink import framing, numbers, rtnl


@contextmanager
def pair() -> Iterator[tuple[RequestSocket, socket.socket]]:
    """A request socket, and the end that plays the kernel: two datagram sockets on loopback."""
    ours, kernel = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with ours, kernel:
        for sock in (ours, kernel):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        ours.connect(kernel.getsockname())
        kernel.connect(ours.getsockname())
        yield RequestSocket(ours), kernel


def message(kind: int, flags: int, sequence: int, body: bytes = b"") -> bytes:
    return framing.HEADER.pack(framing.HEADER_SIZE + len(body), kind, flags, sequence, 0) + body


def done(sequence: int, flags: int = 0) -> bytes:
    return message(numbers.MSG_DONE, flags, sequence, framing.S32.pack(0))


async def asked(kernel: socket.socket) -> int:
    """Wait for a request; its sequence number."""
    request = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(kernel, 65536), 10)
    return int(framing.HEADER.unpack_from(request)[3])


def body(buffer: bytes, start: int, end: int) -> bytes:
    return buffer[start + framing.HEADER_SIZE : end]


@pytest.mark.asyncio
async def test_an_interrupted_dump_is_run_again_and_its_first_half_forgotten() -> None:
    with pair() as (requests, kernel):
        dump = asyncio.create_task(requests.dump(framing.frame(rtnl.GETROUTE, 0, b""), body))
        first = await asked(kernel)
        kernel.send(
            message(rtnl.NEWROUTE, 0, first, b"gone")
            + message(rtnl.NEWROUTE, numbers.DUMP_INTR, first, b"torn")
        )
        kernel.send(done(first))
        again = await asked(kernel)
        kernel.send(message(rtnl.NEWROUTE, 0, again, b"news") + done(again))
        assert await dump == [b"news"]


@pytest.mark.asyncio
async def test_a_dump_that_is_always_interrupted_fails_at_last() -> None:
    with pair() as (requests, kernel):
        dump = asyncio.create_task(requests.dump(framing.frame(rtnl.GETROUTE, 0, b""), body))
        while not dump.done():
            answering = asyncio.create_task(asked(kernel))
            await asyncio.wait({dump, answering}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                kernel.send(done(answering.result(), numbers.DUMP_INTR))
            answering.cancel()
        with pytest.raises(KernelError, match="interrupted") as caught:
            await dump
        assert caught.value.errno == errno.EAGAIN


@pytest.mark.asyncio
async def test_answers_to_requests_given_up_are_passed_over() -> None:
    with pair() as (requests, kernel):
        kernel.send(done(4_000_000_000))
        dump = asyncio.create_task(requests.dump(framing.frame(rtnl.GETROUTE, 0, b""), body))
        wanted = await asked(kernel)
        kernel.send(
            message(rtnl.NEWROUTE, 0, wanted + 7, b"late") + message(rtnl.NEWROUTE, 0, wanted, b"mine")
        )
        kernel.send(done(wanted))
        assert await dump == [b"mine"]


@pytest.mark.asyncio
async def test_a_refused_dump_carries_the_kernels_errno() -> None:
    with pair() as (requests, kernel):
        dump = asyncio.create_task(requests.dump(framing.frame(rtnl.GETROUTE, 0, b""), body))
        wanted = await asked(kernel)
        kernel.send(message(numbers.MSG_ERROR, 0, wanted, framing.S32.pack(-errno.EPERM) + bytes(16)))
        with pytest.raises(KernelError) as caught:
            await dump
        assert caught.value.errno == errno.EPERM
