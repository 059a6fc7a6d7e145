"""The records of this host in etcd: one lease, no needless write, and all of it again when etcd lost it."""

from __future__ import annotations

from typing import cast

import pytest

from flanpy.errors import StoreUnavailable
from flanpy.model.networks.names import ToldNames
from flanpy.names.publish import KEEP_ALIVE_S, MOST_AT_ONCE, TTL_S, Publisher
from flanpy.names.records import decode_names, names_key, names_prefix, read_key
from flanpy.store.port import Store
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd, FakeSession
from tests.names.test_table import box

PREFIX = "/p"


class Told:
    """A publisher over an etcd in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.etcd = FakeEtcd(self.clock)
        self.session = FakeSession(self.etcd)
        self.publisher = Publisher(cast(Store, self.session), PREFIX, "n1", clock=self.clock)

    def stands(self) -> dict[str, ToldNames]:
        found = (
            decode_names(*read_key(PREFIX, kv.key), kv.value) for kv in self.etcd.find(names_prefix(PREFIX))
        )
        return {one.network: one for one in found}


def told(*names: str, network: str = "shop") -> dict[str, ToldNames]:
    return {network: ToldNames(network, "n1", "h1", tuple(box(name, "10.96.1.2") for name in names))}


@pytest.mark.asyncio
async def test_names_are_written_once_and_again_only_when_they_change() -> None:
    one = Told()
    assert await one.publisher.bring(told("web"))
    assert one.stands() == told("web")
    (kv,) = one.etcd.find(names_prefix(PREFIX))
    assert one.etcd.lease(kv.lease_id).granted == TTL_S
    assert not await one.publisher.bring(told("web"))
    assert await one.publisher.bring(told("web", "db"))
    assert one.stands() == told("web", "db")
    assert await one.publisher.bring({})
    assert one.stands() == {}
    assert one.publisher.writes == 3


@pytest.mark.asyncio
async def test_host_that_tells_nothing_asks_nothing_of_etcd() -> None:
    one = Told()
    one.session.cut()
    assert not await one.publisher.bring({})


@pytest.mark.asyncio
async def test_names_live_while_they_are_kept_alive_and_are_written_again_when_the_lease_ran_out() -> None:
    one = Told()
    await one.publisher.bring(told("web"))
    for _ in range(6):
        await one.clock.advance(KEEP_ALIVE_S)
        assert not await one.publisher.bring(told("web"))
    assert one.stands() == told("web")
    await one.clock.advance(TTL_S + 1.0)
    one.etcd.expire_leases()
    assert one.stands() == {}
    await one.clock.advance(KEEP_ALIVE_S)
    assert await one.publisher.bring(told("web"))
    assert one.stands() == told("web")


@pytest.mark.asyncio
async def test_what_somebody_took_or_changed_is_written_again() -> None:
    one = Told()
    await one.publisher.bring(told("web"))
    key = names_key(PREFIX, "shop", "n1")
    assert not one.publisher.forget(key, one.etcd.find(key)[0].value)
    assert not one.publisher.forget(names_key(PREFIX, "lab", "n1"), b"")
    await one.session.delete(key)
    assert one.publisher.forget(key, None)
    assert await one.publisher.bring(told("web"))
    assert one.stands() == told("web")


@pytest.mark.asyncio
async def test_write_whose_answer_was_lost_is_written_again() -> None:
    one = Told()
    one.session.lose_answer("txn")
    with pytest.raises(StoreUnavailable):
        await one.publisher.bring(told("web"))
    assert await one.publisher.bring(told("web", "db"))
    assert one.stands() == told("web", "db")


@pytest.mark.asyncio
async def test_many_networks_are_told_in_parts() -> None:
    one = Told()
    many = {f"net{i}": told("web", network=f"net{i}")[f"net{i}"] for i in range(2 * MOST_AT_ONCE + 3)}
    assert await one.publisher.bring(many)
    assert one.stands() == many
