"""A session that leaves its connection, as after the host's address changed."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress
from dataclasses import replace
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


@pytest.mark.parametrize("strange", ["client", "authority"])
async def test_p24_session_leaves_no_channel_that_goes_on_connecting_when_tls_fails(
    strange: str, tmp_path: Path
) -> None:
    """A call that somebody still refers to keeps its channel alive, and that dials once a second for ever."""
    make_certificates(tmp_path)
    with EtcdCluster.started(members=3, client_certs=True) as etcd:
        settings = etcd.settings(timeout=3.0)
        if strange == "client":
            settings = replace(settings, cert_file=tmp_path / "client.crt", key_file=tmp_path / "client.key")
        else:
            settings = replace(settings, ca_file=tmp_path / "ca.crt")
        gc.collect()
        gc.disable()
        try:
            async with EtcdSession(settings, pace=WatchPace(first_delay=0.05, longest_delay=0.05)) as session:
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
                await asyncio.sleep(1)
                tried = _refused(etcd)
                assert tried > 0
                await asyncio.sleep(3)
                assert _refused(etcd) <= tried + 2
        finally:
            gc.enable()


def _refused(etcd: EtcdCluster) -> int:
    return sum(member.log_text(all_starts=True).count("rejected connection") for member in etcd.members)
