"""A session that is given other settings while it runs, as by a reload of the daemon."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flanpy.errors import ConfigError, StoreDenied
from flanpy.store.port import Delta, Snapshot
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.watch import PrefixWatch
from tests.etcd_server import EtcdCluster

pytestmark = [pytest.mark.asyncio, pytest.mark.etcd]


async def _snapshot(watch: PrefixWatch) -> Snapshot:
    """The next listing; what the watch says before is passed over."""
    while not isinstance(news := await anext(watch), Snapshot):
        pass
    return news


async def test_p24_session_and_its_watches_go_to_another_member_when_the_endpoints_change() -> None:
    with EtcdCluster.started(members=3) as etcd:
        one, other = (replace(etcd.settings(), endpoints=(etcd.urls[number],)) for number in (0, 1))
        async with EtcdSession(one) as session:
            watch = session.watch("/a/")
            assert isinstance(await anext(watch), Snapshot)
            session.use(other)
            etcd.members[0].freeze()
            assert (await _snapshot(watch)).reason == "settings_changed"
            await session.put("/a/b", b"1")
            news = await anext(watch)
            assert isinstance(news, Delta)
            assert session.stats.endpoint == etcd.urls[1]
            etcd.members[0].thaw()


async def test_session_keeps_its_connection_when_the_endpoint_in_use_stays_listed() -> None:
    with EtcdCluster.started(members=3) as etcd:
        async with EtcdSession(replace(etcd.settings(), endpoints=etcd.urls[:2])) as session:
            await session.get("/a")
            before = session._connections.acquire()
            session._connections.release(before)
            session.use(replace(etcd.settings(), endpoints=(etcd.urls[2], etcd.urls[0])))
            await session.get("/a")
            after = session._connections.acquire()
            session._connections.release(after)
            assert after is before
            assert session.stats.endpoint == etcd.urls[0]


async def test_session_logs_in_anew_when_user_or_password_change() -> None:
    with EtcdCluster.started(password="of-the-root") as etcd:
        etcd.add_user("host", "of-the-host", prefix="/a")
        wrong = etcd.settings(username="host", password="outdated")
        async with EtcdSession(wrong) as session:
            with pytest.raises(StoreDenied, match="does not accept the password"):
                await session.get("/a")
            session.use(replace(wrong, password="of-the-host"))
            assert await session.get("/a") is None


async def test_session_goes_on_as_it_was_when_the_new_endpoints_cannot_be_used(
    etcd_server: EtcdCluster,
) -> None:
    async with EtcdSession(etcd_server.settings()) as session:
        with pytest.raises(ConfigError, match="unknown scheme"):
            session.use(replace(etcd_server.settings(), endpoints=("ftp://nowhere",)))
        assert await session.get("/a") is None


async def test_session_logs_in_when_authentication_is_enabled_later_and_it_shows_a_certificate() -> None:
    """etcd 3.5 takes the certificate for a user then, and denies instead of asking for a token."""
    with EtcdCluster.started(client_certs=True) as etcd:
        settings = etcd.settings(username="root", password="of-the-root")
        async with EtcdSession(settings) as session:
            await session.put("/a", b"1")
            etcd.enable_auth("of-the-root")
            assert await session.get("/a") is not None
            await session.put("/a", b"2")


async def test_p25_session_logs_in_anew_when_a_restored_etcd_keeps_calls_with_its_token_waiting() -> None:
    """A simple token names the raft index that it was made at; etcd lets a call wait until it gets there."""
    with EtcdCluster.started(password="of-the-root") as etcd:
        backup = etcd.snapshot(etcd.directory / "backup.db")
        async with EtcdSession(etcd.settings()) as writer:
            for number in range(100):
                await writer.put("/a", str(number).encode())
        async with EtcdSession(etcd.settings(timeout=2.0)) as session:
            watch = session.watch("/a")
            assert isinstance(await anext(watch), Snapshot)
            etcd.restore(backup)
            async with asyncio.timeout(60):
                assert (await _snapshot(watch)).items == ()
            assert session.stats.tokens_renewed >= 2
