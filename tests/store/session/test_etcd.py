"""The session on a real etcd: failover, deadlines, users and tokens, and what its errors say."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from flanpy.errors import LeaseGone, StoreCompacted, StoreDenied, StoreUnavailable
from flanpy.store.port import Delta, Snapshot, Stale
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.settings import EtcdSettings
from flanpy.store.session.watch import WatchPace
from integration.etcd.cluster import etcd_binary
from integration.net.namespaces import run
from tests.conftest import EtcdSpace
from tests.etcd_server import EtcdCluster, free_ports, make_jwt_keys, poll

pytestmark = pytest.mark.etcd

DEADLINE_S = 60.0
SECRET = "s3cret-passphrase"


@pytest.mark.asyncio
async def test_call_names_endpoint_and_cure_when_nobody_listens() -> None:
    (port,) = free_ports(1)
    async with EtcdSession(EtcdSettings((f"http://127.0.0.1:{port}",))) as session:
        with pytest.raises(
            StoreUnavailable, match=rf"^etcd at http://127\.0\.0\.1:{port} is unavailable .*see that"
        ):
            await session.get("/a")
        assert session.stats.outage_since is not None


@pytest.mark.asyncio
async def test_call_fails_by_its_deadline_when_etcd_is_frozen(etcd_server: EtcdCluster) -> None:
    async with EtcdSession(etcd_server.settings(timeout=0.5)) as session:
        await session.put("/a", b"")
        etcd_server.members[0].freeze()
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                await session.get("/a")
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                await session.keep_alive(1)
        etcd_server.members[0].thaw()
        assert await session.get("/a") is not None


@pytest.mark.asyncio
async def test_p24_reads_and_writes_go_to_the_next_endpoint_when_one_is_dead() -> None:
    with EtcdCluster.started(members=3) as etcd:
        async with EtcdSession(etcd.settings()) as session:
            lease_id = await session.grant(60)
            etcd.members[2].kill()  # not the one in use, and maybe the leader
            await eventually_put(session, "/a")
            member = next(one for one in etcd.members if one.endpoint == session.stats.endpoint)
            etcd.members[2].launch()
            poll(etcd.members[2].healthy, "the member that was restarted")
            member.kill()
            assert await session.get("/a") is not None, "a read goes on at another member by itself"
            assert await session.keep_alive(lease_id) == 60
            assert session.stats.endpoint != member.endpoint


async def eventually_put(session: EtcdSession, key: str) -> None:
    for _ in range(30):
        try:
            await session.put(key, b"")
        except StoreUnavailable:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("no write went through")


@pytest.mark.asyncio
async def test_write_is_tried_at_the_next_endpoint_only_when_the_first_was_never_reached(
    etcd_server: EtcdCluster,
) -> None:
    (port,) = free_ports(1)
    dead = f"http://127.0.0.1:{port}"
    async with EtcdSession(replace(etcd_server.settings(), endpoints=(dead, *etcd_server.urls))) as session:
        assert await session.put("/a", b"") > 1
        assert session.stats.calls["txn", "UNAVAILABLE"] == 1
        assert session.stats.outage_since is None, "one dead endpoint of two is no outage"
    with EtcdCluster.started() as frozen:
        endpoints = (*frozen.urls, *etcd_server.urls)
        settings = replace(etcd_server.settings(timeout=0.5), endpoints=endpoints)
        async with EtcdSession(settings) as session:
            await session.get("/a")
            frozen.members[0].freeze()
            with pytest.raises(StoreUnavailable):
                await session.put("/a", b"may have happened")
            assert await session.get("/a") is not None, "the read that follows goes elsewhere"


@pytest.mark.asyncio
async def test_read_says_compacted_when_the_revision_is_gone_or_not_there_yet(
    etcd_server: EtcdCluster,
) -> None:
    async with EtcdSession(etcd_server.settings()) as session:
        first = await session.put("/a", b"1")
        await session.put("/a", b"2")
        etcd_server.compact()
        for revision, rewound in ((first, False), (10_000, True)):
            with pytest.raises(StoreCompacted) as refused:
                await session.read_at("/a", revision)
            assert refused.value.rewound is rewound


@pytest.mark.asyncio
async def test_lease_error_names_the_lease_when_it_ended(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        with pytest.raises(LeaseGone, match="lease abc ended"):
            await session.keep_alive(0xABC)


@pytest.mark.asyncio
async def test_status_tells_version_leader_and_revision(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        revision = await session.put(f"{etcd.prefix}/a", b"")
        status = await session.status()
        said = run([str(etcd_binary()), "--version"]).stdout
        assert said.startswith(f"etcd Version: {status.version}\n")
        assert status.leader == status.member
        assert status.revision >= revision
        assert status.db_size > 0
        assert status.endpoint == etcd.cluster.urls[0]


@pytest.mark.asyncio
async def test_keys_round_trip_when_they_are_not_text(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        key = f"{etcd.prefix}/" + b"\xff\xfe\x80".decode("utf-8", "surrogateescape")
        await session.put(key, b"1")
        await session.put(f"{key}/b", b"2")
        assert [kv.key for kv in (await session.list(key)).items] == [key, f"{key}/b"]


@pytest.mark.asyncio
async def test_closed_session_says_so_to_a_call_under_way(etcd_server: EtcdCluster) -> None:
    session = EtcdSession(etcd_server.settings())
    await session.get("/a")
    etcd_server.members[0].freeze()
    call = asyncio.create_task(session.get("/a"))
    await asyncio.sleep(0.1)
    await session.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await call
    with pytest.raises(StoreUnavailable, match="closed"):
        await session.get("/a")


# Users and tokens


@pytest.mark.asyncio
async def test_p24_token_is_renewed_once_for_all_callers_when_it_expired() -> None:
    with EtcdCluster.started("--auth-token-ttl=1", password=SECRET) as etcd:
        async with EtcdSession(etcd.settings()) as session:
            await session.put("/a", b"1")
            watch = session.watch("/a")
            assert isinstance(await anext(watch), Snapshot)
            assert session.stats.tokens_renewed == 1
            await asyncio.sleep(
                3
            )  # any use of the token would keep it alive, so its end cannot be polled for
            await asyncio.gather(*(session.get("/a") for _ in range(20)))
            assert session.stats.tokens_renewed == 2
            await session.put("/a", b"2")
            async with asyncio.timeout(DEADLINE_S):
                await anext(watch)
            assert session.stats.resyncs == {"started": 1}


@pytest.mark.asyncio
async def test_p24_watch_resumes_and_writes_go_on_when_the_token_ended_during_an_outage(
    tmp_path: Path,
) -> None:
    with EtcdCluster.started(make_jwt_keys(tmp_path, ttl="1s"), password=SECRET) as etcd:
        async with EtcdSession(etcd.settings(), pace=WatchPace(first_delay=0.02)) as session:
            await session.put("/a", b"1")
            watch = session.watch("/a")
            assert isinstance(await anext(watch), Snapshot)
            revision = await session.put("/a", b"live")
            assert isinstance(await anext(watch), Delta)
            etcd.kill()
            assert isinstance(await anext(watch), Stale)
            await asyncio.sleep(1.5)
            etcd.start()
            async with asyncio.timeout(DEADLINE_S):
                assert (await anext(watch)).revision == revision  # type: ignore[union-attr]
                await session.put("/a", b"2")
                assert (await anext(watch)).revision == revision + 1  # type: ignore[union-attr]
            assert session.stats.tokens_renewed >= 2
            assert session.stats.resyncs == {"started": 1}


@pytest.mark.asyncio
async def test_token_is_renewed_when_users_were_changed(tmp_path: Path) -> None:
    with EtcdCluster.started(make_jwt_keys(tmp_path, ttl="10m"), password=SECRET) as etcd:
        async with EtcdSession(etcd.settings()) as session:
            await session.put("/a", b"1")
            etcd.add_user("somebody", "else")
            await session.put("/a", b"2")
            assert session.stats.tokens_renewed == 2


@pytest.mark.asyncio
async def test_denial_names_user_and_cure_but_never_the_password(capfd: pytest.CaptureFixture[str]) -> None:
    with EtcdCluster.started(password=SECRET) as etcd:
        etcd.add_user("agent", SECRET + "-agent", prefix="/mine/")
        wrong = etcd.settings(password=SECRET + "-wrong")
        nobody = etcd.settings(username="", password="")
        agent = etcd.settings(username="agent", password=SECRET + "-agent")
        for settings, text in (
            (wrong, "does not accept the password of user 'root'"),
            (nobody, "asks for a user: set etcd-username"),
            (agent, "denies txn to user 'agent': grant its role"),
        ):
            async with EtcdSession(settings) as session:
                with pytest.raises(StoreDenied, match=text) as caught:
                    await session.put("/other/a", b"")
                chain = f"{caught.value!r} {caught.value.__cause__!r} {settings!r} {vars(session)!r}"
                assert SECRET not in chain
        async with EtcdSession(agent) as session:
            await session.put("/mine/a", b"")
            assert await session.get("/mine/a") is not None
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.asyncio
async def test_watch_waits_for_the_permission_and_starts_when_it_is_granted() -> None:
    with EtcdCluster.started(password=SECRET) as etcd:
        etcd.add_user("agent", "agent-pw")
        settings = etcd.settings(username="agent", password="agent-pw")
        async with EtcdSession(settings, pace=WatchPace(first_delay=0.02, longest_delay=0.1)) as session:
            watch = session.watch("/mine/")
            stale = await anext(watch)
            assert isinstance(stale, Stale)
            assert "denies list to user 'agent'" in stale.error
            etcd.ctl("role", "grant-permission", "agent-role", "readwrite", "/mine/", "--prefix")
            async with asyncio.timeout(DEADLINE_S):
                assert isinstance(await anext(watch), Snapshot)


@pytest.mark.asyncio
async def test_user_is_no_error_when_etcd_has_authentication_disabled(etcd: EtcdSpace) -> None:
    settings = etcd.cluster.settings(username="root", password=SECRET)
    async with EtcdSession(settings) as session:
        assert await session.put(f"{etcd.prefix}/a", b"") > 1
