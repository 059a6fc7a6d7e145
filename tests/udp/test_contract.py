"""What the supervisor relies on, of the stand-ins and of the real planes alike."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.errors import KernelError
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.model.objects import LinkUp, TunLink
from flanpy.model.tunnel import Count, TunnelRow, TunnelTable
from flanpy.plan.ops import Put
from flanpy.udp.forwarder.process import ForwarderProcess
from flanpy.udp.forwarder.tun import open_queues
from flanpy.udp.ports import Forwarder
from flanpy.udp.sockets import open_socket
from tests.netns import namespace
from tests.udp.workshop import FakeForwarder

DEADLINE = 60.0
TABLE = TunnelTable(
    local=IPv4Address("127.0.0.1"),
    port=8285,
    mtu=1472,
    own=IPv4Network("10.50.10.0/24"),
    rows=(TunnelRow(IPv4Network("10.50.11.0/24"), IPv4Address("192.0.2.11")),),
)

Case = Callable[[Forwarder], Awaitable[None]]
Run = Callable[[Case], None]


async def _with_fake(case: Case) -> None:
    await asyncio.wait_for(case(FakeForwarder(pid=1)), DEADLINE)


async def _with_real(case: Case) -> None:
    kernel = NetlinkKernel()
    try:
        assert await kernel.apply([Put(TunLink("flannel0", 1472)), Put(LinkUp("flannel0"))]) == ()
    finally:
        kernel.close()
    queues, sock = open_queues("flannel0"), open_socket(TABLE.local, TABLE.port)
    forwarder = await ForwarderProcess.spawn(queues, sock)
    try:
        await asyncio.wait_for(case(forwarder), DEADLINE)
    finally:
        forwarder.kill()
        await asyncio.wait_for(forwarder.wait_ended(), DEADLINE)
        sock.close()
        for queue in queues:
            os.close(queue)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    if request.param == "fake":
        yield lambda case: asyncio.run(_with_fake(case))
        return
    with namespace() as here:
        yield lambda case: here.do(lambda: asyncio.run(_with_real(case)))


def test_forwarder_acknowledges_tables_one_after_another(run: Run) -> None:
    async def case(forwarder: Forwarder) -> None:
        for generation in (1, 2, 3):
            await forwarder.set_table(TABLE, generation)

    run(case)


def test_forwarder_counts_nothing_before_anything_was_carried(run: Run) -> None:
    async def case(forwarder: Forwarder) -> None:
        await forwarder.set_table(TABLE, 1)
        counts = await forwarder.counters()
        assert counts.get(Count.RX_PACKETS, 0) == 0
        assert set(counts) <= set(Count)

    run(case)


def test_forwarder_that_was_killed_says_so_and_takes_no_table(run: Run) -> None:
    async def case(forwarder: Forwarder) -> None:
        await forwarder.set_table(TABLE, 1)
        forwarder.kill()
        assert await forwarder.wait_ended()
        with pytest.raises(KernelError):
            await forwarder.set_table(TABLE, 2)
        with pytest.raises(KernelError):
            await forwarder.counters()
        forwarder.kill()

    run(case)


@pytest.mark.netns
def test_real_forwarder_that_ends_says_why_without_being_asked() -> None:
    async def case(forwarder: Forwarder) -> None:
        await forwarder.set_table(TABLE, 1)
        os.kill(forwarder.pid, 9)
        assert await forwarder.wait_ended() == "killed by SIGKILL"

    with namespace() as here:
        here.do(lambda: asyncio.run(_with_real(case)))
