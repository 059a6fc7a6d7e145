"""The session's JSON web tokens on a real etcd, and what a watch says when its login is not taken any more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from flanpy.store.port import Delta, News, Progress, Snapshot, Stale
from flanpy.store.session.auth import Metadata
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.watch import PrefixWatch, WatchPace
from integration.etcd.api import EtcdApi
from integration.etcd.loopback import LoopbackMember
from integration.net.namespaces import LabError
from tests.etcd_server import EtcdCluster, make_jwt_keys, poll

pytestmark = [pytest.mark.etcd, pytest.mark.asyncio]

DEADLINE_S = 60.0
SECRET = "s3cret-passphrase"
QUICK = WatchPace(first_delay=0.02, longest_delay=0.1)


async def news(watch: PrefixWatch) -> News:
    async with asyncio.timeout(DEADLINE_S):
        return await anext(watch)


async def until(watch: PrefixWatch, kind: type[News]) -> News:
    while not isinstance(got := await news(watch), kind):
        pass
    return got


def takes_none_of_its_own_tokens(member: LoopbackMember) -> bool:
    """Report whether the member gives a token and refuses it. Its /health says neither: newer etcds ask by a token."""
    try:
        token = EtcdApi("", member.eyes).call("/v3/auth/authenticate", {"name": "root", "password": SECRET})
    except LabError:  # it does not serve yet
        return False
    request = Request(
        "http://{}:{}/v3/kv/range".format(*member.eyes), b'{"key": "YQ=="}', {"Authorization": token["token"]}
    )
    with pytest.raises(HTTPError, match="401"):
        urlopen(request, timeout=DEADLINE_S)
    return True


async def test_calls_go_on_when_users_change_between_a_token_and_its_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EtcdCluster.started(make_jwt_keys(tmp_path, ttl="10m"), password=SECRET) as etcd:
        async with EtcdSession(etcd.settings()) as session:
            names = ["one", "two"]
            ask = session._tokens._ask

            async def ask_and_change() -> Metadata:
                token = await ask()
                if names:
                    await asyncio.to_thread(etcd.ctl, "user", "add", f"{names.pop()}:{SECRET}")
                return token

            monkeypatch.setattr(session._tokens, "_ask", ask_and_change)
            await session.put("/a", b"1")
            assert names == []
            assert session.stats.tokens_renewed == 3


async def test_p24_open_watch_goes_on_when_its_token_ended_and_its_role_was_changed(tmp_path: Path) -> None:
    with EtcdCluster.started(make_jwt_keys(tmp_path, ttl="1s"), password=SECRET) as etcd:
        etcd.add_user("host", SECRET, prefix="/a")
        settings = etcd.settings(username="host", password=SECRET)
        async with EtcdSession(settings, pace=QUICK) as session:
            watch = session.watch("/a")
            assert isinstance(await news(watch), Snapshot)
            lease = await session.grant(60)
            await session.put("/a/0", b"0", lease)
            assert isinstance(await news(watch), Delta)
            for number in range(2):
                etcd.ctl("role", "grant-permission", "host-role", "readwrite", f"/{number}")
                await asyncio.sleep(1.5)  # a token's end cannot be seen from here
                assert await session.keep_alive(lease) > 0
                await session.put("/a/0", str(number).encode(), lease)
                assert isinstance(await news(watch), Delta)
            assert session.stats.tokens_renewed >= 3
            assert session.stats.resyncs == {"started": 1}


async def test_watch_is_opened_when_the_token_ended_since_the_last_request(tmp_path: Path) -> None:
    with EtcdCluster.started(make_jwt_keys(tmp_path, ttl="1s"), password=SECRET) as etcd:
        async with EtcdSession(etcd.settings()) as session:
            revision = await session.put("/a", b"1")
            await asyncio.sleep(2.5)  # a token's end cannot be seen from here
            stream, created = await session.open_stream("/a", revision)
            await stream.close()
            assert created.created
            assert session.stats.tokens_renewed == 2


async def test_member_that_takes_none_of_its_own_tokens_is_left_for_another(tmp_path: Path) -> None:
    with EtcdCluster.started(make_jwt_keys(tmp_path, ttl="10m"), members=3, password=SECRET) as etcd:
        first = etcd.members[0]
        first.kill()
        first.flags = (*first.flags, make_jwt_keys(tmp_path, ttl="-1m"))  # the last one counts
        first.launch()
        await asyncio.to_thread(poll, lambda: takes_none_of_its_own_tokens(first), "the restarted member")
        async with EtcdSession(etcd.settings()) as session:
            await session.put("/a", b"1")
            assert session.stats.endpoint != first.endpoint


async def test_watch_tells_the_new_cause_when_an_etcd_that_was_away_refuses_the_password() -> None:
    with EtcdCluster.started(password=SECRET) as etcd:
        etcd.add_user("host", SECRET, prefix="/a")
        settings = etcd.settings(username="host", password=SECRET)
        async with EtcdSession(settings, pace=QUICK) as session:
            watch = session.watch("/a")
            await session.put("/a/0", b"0")
            assert isinstance(await news(watch), Snapshot)
            await session.put("/a/0", b"1")
            assert isinstance(await news(watch), Delta)
            etcd.ctl("user", "delete", "host")
            etcd.ctl("user", "add", "host:another")
            etcd.ctl("user", "grant-role", "host", "host-role")
            etcd.kill()
            away = await news(watch)
            assert isinstance(away, Stale)
            assert "does not accept" not in away.error
            etcd.start()
            refused = await news(watch)
            assert isinstance(refused, Stale)
            assert "does not accept the password of user 'host'" in refused.error
            session.use(replace(settings, password="another"))
            assert isinstance(await until(watch, Progress), Progress)
            assert session.stats.resyncs == {"started": 1}
