"""A session that leaves its connection, as after the host's address changed."""

from __future__ import annotations

import pytest

from flanpy.store.etcd import EtcdSession
from flanpy.store.port import Delta, Snapshot
from tests.conftest import EtcdSpace

pytestmark = [pytest.mark.asyncio, pytest.mark.etcd]


async def test_p27_session_goes_on_over_a_new_connection_and_its_watches_list_anew(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        watch = session.watch(f"{etcd.prefix}/")
        first = await anext(watch)
        assert isinstance(first, Snapshot)
        before = session._connections.acquire()
        session._connections.release(before)
        session.reconnect("moved")
        again = await anext(watch)
        assert isinstance(again, Snapshot)
        assert again.reason == "moved"
        after = session._connections.acquire()
        session._connections.release(after)
        assert after is not before
        await session.put(f"{etcd.prefix}/a", b"1")
        news = await anext(watch)
        assert isinstance(news, Delta)
        assert [kv.key for kv in news.puts] == [f"{etcd.prefix}/a"]
