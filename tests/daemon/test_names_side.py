"""Names from root's file to etcd and from other hosts to the resolver's table, on a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from flanpy.daemon.names.side import NamesSide
from flanpy.host import names_file
from flanpy.model.condition import ConditionType
from flanpy.model.networks.names import FLAT, ToldNames
from flanpy.names.publish import TTL_S
from flanpy.names.records import decode_names, encode_names, names_key, names_prefix, read_key
from flanpy.names.table import Asker
from flanpy.reconcile.outcome import Pass
from flanpy.store.port import DeleteKey, PutKey
from tests.daemon.rig import NODE, PREFIX, Rig, make
from tests.daemon.test_networks_side import define, joined, settle, write
from tests.fakes.etcd import FakeEtcd
from tests.names.test_server import until
from tests.names.test_table import box

SHOP = Asker(("shop",))


class Side:
    """The side of one host, with what etcd has of its names."""

    def __init__(self, rig: Rig, names: NamesSide) -> None:
        self.rig, self.names = rig, names

    def told(self) -> dict[tuple[str, str], list[str]]:
        found = (
            decode_names(*read_key(PREFIX, kv.key), kv.value)
            for kv in self.rig.etcd.find(names_prefix(PREFIX))
        )
        return {(one.network, one.node_id): [box.name for box in one.containers] for one in found}

    def find(self, name: str) -> tuple[object, ...] | None:
        return self.names._view.table.find(name, SHOP)


def see(tmp_path: Path, *names: str, network: str = "shop") -> None:
    """Have root's side see containers on this host's slice of the network."""
    boxes = tuple(box(name, f"10.96.200.{number + 2}") for number, name in enumerate(names))
    names_file.save(names_file.path_of(tmp_path / "run"), {network: boxes})


@asynccontextmanager
async def naming(tmp_path: Path, *, etcd: FakeEtcd | None = None, cut: bool = False) -> AsyncIterator[Side]:
    rig = make(tmp_path, f"--run-dir={tmp_path}/run", "--dns-listen=127.0.0.1:1053", etcd=etcd)
    if cut:
        rig.session.cut()
    else:
        rig.configure()
    names = NamesSide(
        rig.session,
        rig.settings,
        NODE,
        clock=rig.clock,
        world=lambda: rig.loop.world,
        board=rig.board,
        latest=rig.latest,
    )
    before = rig.loop._on_pass

    def pass_done(outcome: Pass) -> None:
        before(outcome)
        names.pass_done(outcome)

    rig.loop._on_pass = pass_done
    names.recall()
    kept = {"names_file", "names_keeper", "names_watch", "names_doubts", "names_view"}
    works = names.tasks()
    for name in works.keys() - kept:
        works[name].close()
    async with joined(rig, *(works[name] for name in sorted(kept))) as side:
        if not cut:
            define(rig)
        await settle(rig, side)
        yield Side(rig, names)
        await names.close()


@pytest.mark.asyncio
async def test_what_root_sees_is_told_and_goes_with_the_container(tmp_path: Path) -> None:
    see(tmp_path, "web", "db")
    async with naming(tmp_path) as one:
        assert one.told() == {("shop", NODE): ["web", "db"], (FLAT, NODE): []}
        assert one.find("web") == (IPv4Address("10.96.200.2"),)
        see(tmp_path, "web")
        await until(lambda: one.find("db") is None)
        await one.rig.clock.advance(2.0)
        assert one.told()["shop", NODE] == ["web"]
        write(one.rig, DeleteKey(names_key(PREFIX, "shop", NODE)))
        await one.rig.clock.advance(2.0)
        assert one.told()["shop", NODE] == ["web"], "what somebody took is written again"
        await one.rig.clock.advance(10.0 * TTL_S)
        assert one.told()["shop", NODE] == ["web"], "it is kept alive"


@pytest.mark.asyncio
async def test_host_without_news_from_root_tells_nothing_and_says_so(tmp_path: Path) -> None:
    async with naming(tmp_path) as one:
        assert one.told() == {}
        await one.rig.clock.advance(10.0)
        condition = one.rig.condition(ConditionType.NAMES_SERVED)
        assert (condition.healthy, condition.reason) == (False, "NoNames")


@pytest.mark.asyncio
async def test_names_of_others_stay_without_etcd_and_over_a_restart(tmp_path: Path) -> None:
    see(tmp_path, "web")
    far = ToldNames("shop", "peer", "far", (box("far", "10.96.9.2"),))
    async with naming(tmp_path) as one:
        write(one.rig, PutKey(names_key(PREFIX, "shop", "peer"), encode_names(far)))
        await one.rig.clock.advance(1.0)
        assert one.find("far.shop.flanpy.internal") == (IPv4Address("10.96.9.2"),)
        one.rig.session.cut()
        await one.rig.clock.advance(300.0)
        assert one.find("far") == (IPv4Address("10.96.9.2"),)
        see(tmp_path, "web", "new")
        await until(lambda: one.find("new") is not None)

    async with naming(tmp_path, cut=True) as again:
        assert again.find("far") == (IPv4Address("10.96.9.2"),)
        assert again.find("new") is not None


@pytest.mark.asyncio
async def test_names_of_a_host_that_is_silent_go(tmp_path: Path) -> None:
    far = ToldNames("shop", "peer", "far", (box("far", "10.96.9.2"),))
    async with naming(tmp_path) as one:
        key = names_key(PREFIX, "shop", "peer")
        write(one.rig, PutKey(key, encode_names(far)))
        await one.rig.clock.advance(1.0)
        assert one.find("far")
        write(one.rig, DeleteKey(key))
        await one.rig.clock.advance(1.0)
        assert one.find("far") is None, "probes are off: nobody vouches for it"
