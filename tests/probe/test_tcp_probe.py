"""A TCP probe tells a host that is there from one that is not, and both from a host that cannot ask."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address

import pytest

from flanpy.clock import SystemClock
from flanpy.errors import UnableToAsk
from flanpy.probe.tcp_probe import tcp_probe, tcp_probe_at

HERE = IPv4Address("127.0.0.1")


@contextmanager
def out_of_descriptors() -> Iterator[None]:
    """Lower this process's limit to the descriptors that it has open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def free_port() -> int:
    with socket.create_server((str(HERE), 0)) as server:
        return int(server.getsockname()[1])


def test_host_that_accepts_or_refuses_is_there_and_one_that_does_neither_is_not() -> None:
    async def work() -> None:
        at = tcp_probe_at(free_port(), SystemClock())
        assert await at(HERE, 5.0) is not None
        with socket.create_server((str(HERE), 0), backlog=0) as server, ExitStack() as crowd:
            port = int(server.getsockname()[1])
            assert await tcp_probe(HERE, port, clock=SystemClock(), deadline=5.0) is not None
            for _ in range(4):  # nobody accepts them, and the kernel leaves further ones unanswered
                waiting = crowd.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((str(HERE), port))
            assert await tcp_probe(HERE, port, clock=SystemClock(), deadline=0.2) is None

    asyncio.run(work())


def test_host_without_descriptors_says_that_it_cannot_ask() -> None:
    async def work() -> None:
        with (
            out_of_descriptors(),
            pytest.raises(UnableToAsk, match=r"cannot ask 127\.0\.0\.1: Too many open"),
        ):
            await tcp_probe(HERE, 1, clock=SystemClock(), deadline=5.0)

    asyncio.run(work())
