"""The data plane as a part of the kernel: what is put stands, what broke is said to, and a restart forgets no peer."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
import pytest_asyncio

from flanpy.clock import Clock, SystemClock
from flanpy.model.objects import KernelObject, TunnelEnd, TunnelPeer
from flanpy.model.ops import Delete, Put, Scope
from flanpy.model.tunnel import Count
from flanpy.udp.plane import UdpPlane
from flanpy.udp.supervisor import CALM, LONGEST_DELAY, Plane, Supervisor
from tests.fakes.clock import FakeClock
from tests.udp.workshop import Bench, FakeMemory

pytestmark = pytest.mark.asyncio
DEADLINE = 30.0


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _end(*, fast: bool = False, port: int = 0) -> TunnelEnd:
    here = IPv4Address("127.0.0.1")
    return TunnelEnd("lo", "eth0", here, port or _free_port(), 1472, IPv4Network("10.50.10.0/24"), fast)


def _peer(number: int, *, fast: bool = False) -> TunnelPeer:
    return TunnelPeer("lo", IPv4Network(f"10.50.{number}.0/24"), IPv4Address(f"192.0.2.{number}"), fast)


class Rig:
    """A plane over stand-ins, and whether it said that something moved."""

    def __init__(
        self, *, fast: bool = False, memory: FakeMemory | None = None, clock: Clock | None = None
    ) -> None:
        self.bench = Bench(fast=fast)
        self.memory = memory or FakeMemory()
        self.moved = asyncio.Event()
        self.supervisor = Supervisor(self.bench.workshop, clock or SystemClock(), self.moved.set)
        self.plane = UdpPlane(self.supervisor, self.bench.workshop, self.memory)

    async def put(self, *objects: KernelObject) -> tuple[str, ...]:
        return tuple(str(f.error) for f in await self.plane.apply([Put(obj) for obj in objects]))

    async def standing(self) -> set[KernelObject]:
        return set((await self.plane.read_back(Scope())).values())

    async def until_moved(self) -> None:
        await asyncio.wait_for(self.moved.wait(), DEADLINE)
        self.moved.clear()


@pytest_asyncio.fixture
async def rigs() -> AsyncIterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(**options: object) -> Rig:
        made.append(Rig(**options))  # type: ignore[arg-type]  # the tests name options of Rig
        return made[-1]

    yield make
    for rig in made:
        await rig.supervisor.stop(detach=False)


async def test_end_and_peers_stand_once_the_whole_table_was_acknowledged(rigs: Callable[..., Rig]) -> None:
    rig, end = rigs(), _end()
    assert await rig.put(end, _peer(11), _peer(12)) == ()
    assert await rig.standing() == {end, _peer(11), _peer(12)}
    ((generation, table),) = rig.bench.last.tables
    assert generation == 1
    assert [str(row.subnet) for row in table.rows] == ["10.50.11.0/24", "10.50.12.0/24"]
    assert (table.local, table.port, table.mtu, table.own) == (end.local, end.port, end.mtu, end.own)


async def test_every_change_sends_the_whole_table_with_the_next_number(rigs: Callable[..., Rig]) -> None:
    rig, end = rigs(), _end()
    await rig.put(end, _peer(11))
    await rig.put(_peer(12))
    await rig.plane.apply([Delete(_peer(11))])
    numbers = [(number, len(table.rows)) for number, table in rig.bench.last.tables]
    assert numbers == [(1, 1), (2, 2), (3, 1)]
    assert await rig.standing() == {end, _peer(12)}
    assert len(rig.bench.forwarders) == 1


async def test_refused_table_fails_every_operation_and_nothing_new_is_said_to_stand(
    rigs: Callable[..., Rig],
) -> None:
    rig, end = rigs(), _end()
    await rig.put(end, _peer(11))
    rig.bench.last.refuses = "no room"
    failures = await rig.put(_peer(12), _peer(13))
    assert len(failures) == 2
    assert "no room" in failures[0]
    assert await rig.standing() == {_peer(11)}
    assert rig.bench.last.killed
    assert await rig.put(end, _peer(12)) == ()
    assert await rig.standing() == {end, _peer(11), _peer(12)}


async def test_process_that_ends_is_noticed_and_started_again_with_the_table(
    rigs: Callable[..., Rig],
) -> None:
    rig, end = rigs(), _end()
    await rig.put(end, _peer(11))
    rig.bench.last.end.set()
    await rig.until_moved()
    assert await rig.standing() == {_peer(11)}
    assert await rig.put(end) == ()
    assert await rig.standing() == {end, _peer(11)}
    assert len(rig.bench.forwarders) == 2
    assert len(rig.bench.last.tables[-1][1].rows) == 1


async def test_process_that_cannot_stay_up_is_started_less_and_less_often(rigs: Callable[..., Rig]) -> None:
    clock = FakeClock()
    rig, end = rigs(clock=clock), _end()
    await rig.put(end)
    rig.bench.last.end.set()
    await rig.until_moved()
    await rig.put(end)
    rig.bench.last.end.set()
    async with asyncio.timeout(DEADLINE):
        while not clock.sleepers:  # noqa: ASYNC110, the clock tells nobody of its sleepers
            await asyncio.sleep(0.01)
    assert end not in await rig.standing()
    assert not rig.moved.is_set()
    await clock.advance(LONGEST_DELAY)
    assert rig.moved.is_set()
    await clock.advance(CALM)
    await rig.put(end)
    await clock.advance(CALM)
    rig.bench.last.end.set()
    await rig.until_moved()


async def test_process_that_hangs_is_killed(rigs: Callable[..., Rig]) -> None:
    rig, end = rigs(), _end()
    await rig.put(end)
    rig.bench.last.hangs = True
    await rig.until_moved()
    assert rig.bench.forwarders[0].killed
    assert await rig.put(end) == ()
    assert rig.supervisor.pid == 2


async def test_process_that_hangs_in_an_update_is_killed_and_the_update_fails(
    rigs: Callable[..., Rig],
) -> None:
    rig, end = rigs(), _end()
    await rig.put(end)
    rig.bench.last.hangs = True
    (failure,) = await rig.put(_peer(11))
    assert "did not take its table" in failure
    assert rig.bench.forwarders[0].killed


async def test_filters_that_were_removed_are_noticed_and_attached_without_a_new_process(
    rigs: Callable[..., Rig],
) -> None:
    rig, end = rigs(fast=True), _end(fast=True)
    await rig.put(end, _peer(11, fast=True))
    fast = rig.bench.fast
    assert fast is not None
    fast.filters = ""
    await rig.until_moved()
    assert end not in await rig.standing()
    assert await rig.put(end) == ()
    assert fast.filters == "eth0"
    assert len(fast.attached) == 2
    assert len(rig.bench.forwarders) == 1


async def test_new_address_is_bound_anew_and_new_mtu_is_only_told(rigs: Callable[..., Rig]) -> None:
    rig, end = rigs(), _end()
    await rig.put(end)
    await rig.put(replace(end, mtu=1372))
    assert len(rig.bench.forwarders) == 1
    assert rig.bench.last.tables[-1][1].mtu == 1372
    await rig.put(replace(end, local=IPv4Address("127.0.0.2")))
    assert len(rig.bench.forwarders) == 2
    assert rig.bench.forwarders[0].killed


async def test_taken_port_is_named_and_used_once_it_is_free(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        end = _end(port=other.getsockname()[1])
        failures = await rig.plane.apply([Put(end)])
        assert failures[0].error.errno == errno.EADDRINUSE
        assert await rig.standing() == set()
    assert await rig.put(end) == ()


async def test_link_that_is_not_there_fails_with_its_name(rigs: Callable[..., Rig]) -> None:
    (failure,) = await rigs().put(replace(_end(), link="fp-none"))
    assert "there is no link fp-none" in failure


async def test_end_that_is_deleted_takes_process_socket_and_filters_along(rigs: Callable[..., Rig]) -> None:
    rig, end = rigs(fast=True), _end(fast=True)
    await rig.put(end, _peer(11))
    assert await rig.plane.apply([Delete(end), Delete(_peer(11))]) == ()
    assert await rig.standing() == set()
    assert rig.bench.last.killed
    assert rig.bench.fast is not None
    assert rig.bench.fast.filters == ""
    assert _bindable(end.port)


async def test_restart_knows_the_peers_of_the_last_run_and_gives_them_to_the_new_planes(
    rigs: Callable[..., Rig],
) -> None:
    memory, end = FakeMemory(), _end(fast=True)
    first = rigs(fast=True, memory=memory)
    await first.put(end, _peer(11, fast=True), _peer(12))
    await first.supervisor.stop(detach=False)
    second = rigs(fast=True, memory=memory)
    assert await second.standing() == {_peer(11, fast=True), _peer(12)}
    assert await second.put(end) == ()
    assert second.bench.fast is not None
    assert len(second.bench.fast.attached[0].rows) == 2


async def test_filters_of_an_earlier_run_are_found_and_removed_where_no_tunnel_is_wanted(
    rigs: Callable[..., Rig],
) -> None:
    rig = rigs(fast=True)
    assert rig.bench.fast is not None
    rig.bench.fast.filters = "eth0"
    (left,) = await rig.standing()
    assert await rig.plane.apply([Delete(left)]) == ()
    assert rig.bench.fast.filters == ""


async def test_end_without_the_fast_path_removes_filters_that_stand(rigs: Callable[..., Rig]) -> None:
    rig = rigs(fast=True)
    assert rig.bench.fast is not None
    rig.bench.fast.filters = "eth0"
    assert await rig.put(_end(fast=False)) == ()
    assert rig.bench.fast.filters == ""


async def test_fast_path_that_is_not_there_is_an_error_only_if_it_is_wanted(rigs: Callable[..., Rig]) -> None:
    rig = rigs(fast=False)
    (failure,) = await rig.put(_end(fast=True))
    assert "in-kernel" in failure
    assert await rig.put(_end(fast=False)) == ()


async def test_counters_of_a_plane_do_not_go_back_when_it_is_started_again(rigs: Callable[..., Rig]) -> None:
    rig, end = rigs(), _end()
    await rig.put(end)
    rig.bench.last.counts[Count.TX_PACKETS] = 70
    await rig.supervisor.count()
    rig.bench.last.end.set()
    await rig.until_moved()
    await rig.put(end)
    rig.bench.last.counts[Count.TX_PACKETS] = 7
    await rig.supervisor.count()
    assert rig.supervisor.totals[Plane.USER].counts[Count.TX_PACKETS] == 77


async def test_table_is_saved_only_when_it_changed(rigs: Callable[..., Rig]) -> None:
    rig, end = rigs(), _end()
    await rig.put(end, _peer(11))
    await rig.put(end)
    assert rig.memory.saves == 1
    assert rig.memory.peers == (_peer(11),)


def _bindable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        return True
