"""An etcd far away: every byte takes most of a second each way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from flanpy.store.port import Delta, Snapshot
from flanpy.store.session.etcd import EtcdSession
from tests.etcd_server import EtcdCluster

pytestmark = [pytest.mark.asyncio, pytest.mark.etcd]

EACH_WAY_S = 0.75


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while some := await source.read(65536):
            loop.call_later(EACH_WAY_S, target.write, some)
    loop.call_later(EACH_WAY_S, target.close)


@asynccontextmanager
async def _relay(port: int) -> AsyncIterator[int]:
    """A port here that leads to another, slowly."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        tasks.add(asyncio.create_task(_pass_on(reader, there[1])))
        tasks.add(asyncio.create_task(_pass_on(there[0], writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
    for task in tasks:
        task.cancel()


async def test_p24_watch_lists_and_follows_when_a_handshake_takes_longer_than_a_quick_ones_deadline() -> None:
    with EtcdCluster.started(client_certs=True) as etcd:
        async with _relay(etcd.members[0].client_port) as port:
            settings = replace(etcd.settings(timeout=3.0), endpoints=(f"https://127.0.0.1:{port}",))
            async with EtcdSession(settings) as session, asyncio.timeout(120):
                watch = session.watch("/a")
                while not isinstance(await anext(watch), Snapshot):
                    pass
                await session.put("/a/b", b"1")
                while not isinstance(news := await anext(watch), Delta):
                    pass
                assert [kv.value for kv in news.puts] == [b"1"]
