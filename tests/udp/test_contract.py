"""The contract that the supervisor relies on, of the stand-ins and of the real planes alike."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.errors import KernelError
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.model.objects import LinkUp, TunLink, TunnelEnd
from flanpy.model.ops import Put
from flanpy.model.tunnel import Count, TunnelRow, TunnelTable
from flanpy.udp.bpf.fast_path import BpfFastPath
from flanpy.udp.forwarder.process import ForwarderProcess
from flanpy.udp.forwarder.tun import open_queues
from flanpy.udp.ports import FastPath, Forwarder
from flanpy.udp.sockets import open_socket
from tests.netns import Namespace, namespace
from tests.udp.workshop import FakeFastPath, FakeForwarder

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


END = TunnelEnd("flannel0", "eth0", IPv4Address("192.0.2.10"), 8285, 1472, TABLE.own, fast=True)
FastCase = Callable[[FastPath], None]


def _make_links(here: Namespace) -> None:
    here.ip("link add eth0 type veth peer name far0")
    here.ip("link set eth0 up")

    async def make_tun() -> None:
        kernel = NetlinkKernel()
        try:
            assert await kernel.apply([Put(TunLink("flannel0", 1472)), Put(LinkUp("flannel0"))]) == ()
        finally:
            kernel.close()

    here.do(lambda: asyncio.run(make_tun()))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def on_fast_path(request: pytest.FixtureRequest) -> Iterator[Callable[[FastCase], None]]:
    if request.param == "fake":
        yield lambda case: case(FakeFastPath())
        return
    with namespace() as here:
        _make_links(here)
        yield lambda case: here.do(lambda: case(BpfFastPath()))


def test_fast_path_stands_from_attach_to_detach(on_fast_path: Callable[[FastCase], None]) -> None:
    def case(fast: FastPath) -> None:
        assert not fast.standing(END)
        assert fast.remains() == ""
        fast.attach(END, TABLE)
        assert fast.standing(END)
        assert fast.remains() in {"eth0", "flannel0"}
        fast.set_table(replace(TABLE, rows=()))
        assert fast.standing(END)
        fast.detach()
        assert not fast.standing(END)
        assert fast.remains() == ""

    on_fast_path(case)


def test_fast_path_counts_nothing_before_anything_was_carried(
    on_fast_path: Callable[[FastCase], None],
) -> None:
    def case(fast: FastPath) -> None:
        fast.attach(END, TABLE)
        assert not any(fast.counters().values())
        assert set(fast.counters()) <= set(Count)

    on_fast_path(case)


@pytest.mark.netns
def test_real_fast_path_of_an_earlier_process_is_found_and_replaced_and_removed() -> None:
    with namespace() as here:
        _make_links(here)
        here.do(lambda: BpfFastPath().attach(END, TABLE))
        second = here.do(BpfFastPath)
        assert here.do(second.remains) in {"eth0", "flannel0"}
        assert not here.do(lambda: second.standing(END))
        here.do(lambda: second.attach(END, TABLE))
        assert here.do(lambda: second.standing(END))
        here.run("tc", "qdisc", "del", "dev", "eth0", "clsact")
        assert not here.do(lambda: second.standing(END))
        here.do(second.detach)
        assert here.do(second.remains) == ""
