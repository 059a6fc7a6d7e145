"""Named networks from etcd to the kernel and to the disk, on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from flanpy.daemon.networks.side import NetworksSide
from flanpy.host import docker_refusals_file, networks_file
from flanpy.model.lease import LeaseRecord
from flanpy.model.networks.definition import render_definition
from flanpy.model.objects import BridgePort, FloodEntry, VxlanLink
from flanpy.reconcile.outcome import Pass
from flanpy.store.networks.keys import network_key, networks_prefix, slices_prefix
from flanpy.store.port import DeleteKey, Operation, PutKey, Txn
from flanpy.store.schema import encode_record
from tests.daemon.rig import NODE, PREFIX, Rig, make, running
from tests.model.test_named_networks import SHOP
from tests.states import FACTS

PEER = LeaseRecord(IPv4Address("192.0.2.77"), node_id="peer")


@asynccontextmanager
async def joined(rig: Rig, *more: Coroutine[Any, Any, None]) -> AsyncIterator[NetworksSide]:
    """The side runs beside leasing and the loop, and more beside it."""
    side = NetworksSide(
        rig.session,
        rig.settings,
        NODE,
        clock=rig.clock,
        loop=rig.loop,
        board=rig.board,
        is_drained=lambda: rig.leasing.is_drained,
    )
    before = rig.loop._on_pass

    def pass_done(outcome: Pass) -> None:
        before(outcome)
        side.pass_done(outcome)

    rig.loop._on_pass = pass_done
    side.recall()
    async with running(rig):
        tasks = [asyncio.create_task(work) for work in (*side.tasks().values(), *more)]
        try:
            await settle(rig, side)
            yield side
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def settle(rig: Rig, side: NetworksSide) -> None:
    for _ in range(3):
        await rig.clock.advance(2.0)
        await side.close()


async def settled(rig: Rig, side: NetworksSide, done: Callable[[], bool]) -> None:
    """Let time pass until it is done: the disk answers from a thread, in its own time."""
    for _ in range(100):
        await settle(rig, side)
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it is not done")


def write(rig: Rig, *operations: Operation) -> None:
    rig.etcd.run(Txn((), operations))
    rig.etcd.wake()


def define(rig: Rig) -> None:
    write(
        rig,
        PutKey(network_key(PREFIX, "shop"), render_definition(SHOP)),
        PutKey(f"{slices_prefix(PREFIX, 'shop')}10.96.9.0-24", encode_record(PEER)),
    )


def named(rig: Rig) -> list[str]:
    return [one.network.name for one in rig.loop.world.named.networks]


def standing(rig: Rig, kind: type) -> list[object]:
    return [obj for obj in rig.kernel.objects.values() if isinstance(obj, kind)]


@pytest.mark.asyncio
async def test_defined_network_gets_a_slice_a_device_and_a_file_and_all_go_with_it(tmp_path: Path) -> None:
    rig = make(tmp_path)
    rig.configure()
    async with joined(rig) as side:
        define(rig)
        await settle(rig, side)
        mine = [kv for kv in rig.etcd.find(slices_prefix(PREFIX, "shop")) if NODE.encode() in kv.value]
        assert len(mine) == 1
        assert [link.name for link in standing(rig, VxlanLink) if isinstance(link, VxlanLink)][
            -1
        ] == "fv-10001"
        assert standing(rig, FloodEntry) == [FloodEntry("fv-10001", PEER.public_ip)]  # type: ignore[arg-type]  # every record here has one
        saved = networks_file.load(tmp_path / "state")
        assert saved is not None
        assert [one.network for one in saved.networks] == [SHOP]
        assert saved.missing == ("fb-10001",)

        rig.kernel.host_links["fb-10001"] = ()
        rig.loop.facts_changed(replace(FACTS, bridges=frozenset({"fb-10001"})))
        await settle(rig, side)
        assert standing(rig, BridgePort) == [BridgePort("fv-10001", "fb-10001")]
        again = networks_file.load(tmp_path / "state")
        assert again == replace(saved, missing=())

        gone = DeleteKey(network_key(PREFIX, "shop")), DeleteKey(slices_prefix(PREFIX, "shop"), prefix=True)
        write(rig, *gone)
        await settle(rig, side)
        assert standing(rig, FloodEntry) == standing(rig, BridgePort) == []
        assert not any(
            link.name == "fv-10001" for link in standing(rig, VxlanLink) if isinstance(link, VxlanLink)
        )
        empty = networks_file.load(tmp_path / "state")
        assert empty is not None
        assert empty.networks == ()


@pytest.mark.asyncio
async def test_network_stands_after_a_restart_without_etcd_and_keeps_its_slice_after_a_wipe(
    tmp_path: Path,
) -> None:
    rig = make(tmp_path)
    rig.configure()
    async with joined(rig) as side:
        define(rig)
        await settle(rig, side)
        saved = networks_file.load(tmp_path / "state")
        assert saved is not None
        (before,) = saved.networks

    cut = make(tmp_path, etcd=rig.etcd)
    cut.session.cut()
    async with joined(cut):
        assert FloodEntry("fv-10001", PEER.public_ip) in standing(cut, FloodEntry)  # type: ignore[arg-type]  # as above

    write(rig, DeleteKey(f"{slices_prefix(PREFIX, 'shop')}{str(before.slice).replace('/', '-')}"))
    back = make(tmp_path, etcd=rig.etcd)
    async with joined(back) as side:
        await settle(back, side)
        assert [one.slice for one in back.loop.world.named.networks] == [before.slice]


@pytest.mark.asyncio
async def test_wiped_etcd_gets_network_and_slice_back_however_far_its_revisions_were(tmp_path: Path) -> None:
    rig = make(tmp_path)
    rig.configure()
    for number in range(200):  # the slice is written at a revision that the new etcd does not come to
        write(rig, PutKey("/else", str(number).encode()))
    async with joined(rig) as side:
        define(rig)
        await settle(rig, side)
        (before,) = rig.loop.world.named.networks
        rig.etcd.wipe()
        rig.configure()
        await settled(rig, side, lambda: bool(rig.etcd.find(slices_prefix(PREFIX, "shop"))))
        assert [kv.key for kv in rig.etcd.find(networks_prefix(PREFIX))] == [network_key(PREFIX, "shop")]
        assert [one.slice for one in rig.loop.world.named.networks] == [before.slice]
        assert rig.etcd.revision < 100


@pytest.mark.asyncio
async def test_network_that_holds_an_address_of_this_host_is_kept_out_of(tmp_path: Path) -> None:
    rig = make(tmp_path)
    rig.configure()
    async with joined(rig) as side:
        define(rig)
        rig.loop.facts_changed(replace(FACTS, placed=frozenset({(IPv4Address("10.96.0.9"), "eth0")})))
        await settle(rig, side)
        assert not named(rig)
        rig.loop.facts_changed(FACTS)
        await settle(rig, side)
        assert named(rig) == ["shop"]
        assert IPv4Network("10.96.9.0/24") not in [one.slice for one in rig.loop.world.named.networks]


@pytest.mark.asyncio
async def test_drained_host_gives_its_slices_back_and_has_the_same_ones_afterwards(tmp_path: Path) -> None:
    rig = make(tmp_path)
    rig.configure()
    async with joined(rig) as side:
        define(rig)
        await settle(rig, side)
        (before,) = rig.loop.world.named.networks
        draining = asyncio.create_task(rig.leasing.drain())
        await settled(rig, side, lambda: draining.done() and not named(rig))
        assert [kv.key for kv in rig.etcd.find(slices_prefix(PREFIX, "shop"))] == [
            f"{slices_prefix(PREFIX, 'shop')}10.96.9.0-24"
        ]
        assert (await draining)["drained"] is True
        await rig.leasing.undrain()
        await settled(rig, side, lambda: rig.loop.world.named.networks == (before,))
    told = [(event.kind.value, event.what, event.times) for event in rig.board.events.after()]
    assert ("network_joined", "shop", 2) in told
    assert ("network_left", "shop", 1) in told


@pytest.mark.asyncio
async def test_words_of_docker_that_roots_side_wrote_are_told_until_they_are_gone(
    tmp_path: Path,
) -> None:
    rig = make(tmp_path)
    rig.configure()
    path = docker_refusals_file.path_of(rig.settings.run_dir)
    docker_refusals_file.save(path, {"shop": "Docker refused: Pool overlaps"})
    async with joined(rig) as side:

        def told() -> dict[str, str]:
            return dict(rig.board.snapshot.inputs.kept_out.by_docker)

        await settled(rig, side, lambda: told() == {"shop": "Docker refused: Pool overlaps"})
        docker_refusals_file.save(path, {})
        await settled(rig, side, lambda: told() == {})
