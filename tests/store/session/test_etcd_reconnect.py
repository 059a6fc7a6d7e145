"""A session that leaves its connection, as after the host's address changed."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from flanpy.errors import StoreError
from flanpy.store.port import Delta, Snapshot, Stale
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.watch import WatchPace
from tests.conftest import EtcdSpace
from tests.etcd_server import EtcdCluster, make_certificates

pytestmark = [pytest.mark.asyncio, pytest.mark.etcd]

QUICK = WatchPace(first_delay=0.05, longest_delay=0.05)


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


async def test_session_stands_on_the_local_address_of_its_connection_and_on_no_other(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        with socket.create_server(("127.0.0.2", 0)) as other, socket.create_connection(other.getsockname()):
            assert not session.stands_on({ip_address("127.0.0.1"), ip_address("127.0.0.2")})
            await session.get(f"{etcd.prefix}/a")
            assert session.stands_on({ip_address("192.0.2.1"), ip_address("127.0.0.1")})
            assert not session.stands_on({ip_address("127.0.0.2")})
        before = len(list(Path("/proc/self/fd").iterdir()))
        session.stands_on({ip_address("127.0.0.1")})
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        await session.get(f"{etcd.prefix}/a")


class Doors:
    """A way to each member that counts who comes in: not every etcd logs a handshake that fails."""

    def __init__(self) -> None:
        self.entered = 0
        self.urls: tuple[str, ...] = ()

    @asynccontextmanager
    async def before(self, etcd: EtcdCluster) -> AsyncIterator[Doors]:
        async with AsyncExitStack() as stack:
            for member in etcd.members:
                server = await asyncio.start_server(partial(self._enter, member.client_port), "127.0.0.1", 0)
                await stack.enter_async_context(server)
                port = server.sockets[0].getsockname()[1]
                self.urls = (*self.urls, f"{member.scheme}://127.0.0.1:{port}")
            yield self

    async def _enter(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.entered += 1
        behind = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, behind[1]))
                group.create_task(_pass_on(behind[0], writer))
        finally:
            writer.close()
            behind[1].close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while said := await reader.read(65536):
            writer.write(said)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("strange", ["client", "authority"])
async def test_p24_session_leaves_no_channel_that_goes_on_connecting_when_tls_fails(
    strange: str, tmp_path: Path
) -> None:
    """A call that somebody still refers to keeps its channel alive, and that dials once a second forever."""
    make_certificates(tmp_path)
    with EtcdCluster.started(members=3, client_certs=True) as etcd:
        settings = etcd.settings(timeout=3.0)
        if strange == "client":
            settings = replace(settings, cert_file=tmp_path / "client.crt", key_file=tmp_path / "client.key")
        else:
            settings = replace(settings, ca_file=tmp_path / "ca.crt")
        async with Doors().before(etcd) as doors:
            settings = replace(settings, endpoints=doors.urls)
            gc.collect()
            gc.disable()
            try:
                async with EtcdSession(settings, pace=QUICK) as session:
                    await _ask_in_vain(session)
                    await asyncio.sleep(1)
                    tried = doors.entered
                    assert tried >= 3
                    await asyncio.sleep(3)
                    assert doors.entered <= tried + 2
            finally:
                gc.enable()


async def _ask_in_vain(session: EtcdSession) -> None:
    watch = session.watch("/a")
    assert isinstance(await anext(watch), Stale)
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await anext(watch)
    for _ in range(5):
        with pytest.raises(StoreError):
            await session.get("/a")
        with pytest.raises(StoreError):
            await session.keep_alive(7)
