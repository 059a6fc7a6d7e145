"""A session behind `etcd grpc-proxy`, which gives every error the code UNKNOWN and answers no progress request."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from flanpy.errors import FlanpyError, LeaseGone, StoreCompacted, StoreDenied, StoreError, StoreUnavailable
from flanpy.store.port import Delta, News, Snapshot, Stale
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.faults import Cure, read_fault
from flanpy.store.session.settings import EtcdSettings
from flanpy.store.session.watch import WatchPace
from integration.etcd.cluster import etcd_binary
from tests.etcd_server import EtcdCluster, free_ports, poll

QUICK = WatchPace(silence=0.3, answer=1.0, first_delay=0.02, longest_delay=0.1)


@dataclass
class Proxy:
    """One `etcd grpc-proxy` before one etcd."""

    etcd: EtcdCluster
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> EtcdSettings:
        return EtcdSettings((f"http://127.0.0.1:{self.port}",), timeout=10.0)

    def start(self) -> None:
        with (self.etcd.directory / "proxy.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "setpriv", "--pdeathsig=KILL", str(etcd_binary()), "grpc-proxy", "start",
                    f"--endpoints={self.etcd.urls[0]}", f"--listen-addr=127.0.0.1:{self.port}",
                    f"--data-dir={self.etcd.directory / 'proxy'}",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        poll(self._listens, "the proxy listens")

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with EtcdCluster.started() as etcd:
        proxy = Proxy(etcd, free_ports(1)[0])
        proxy.start()
        try:
            yield proxy
        finally:
            proxy.kill()


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_session_behind_a_proxy_tells_etcds_errors_apart(proxy: Proxy) -> None:
    async with EtcdSession(proxy.settings) as session:
        for value in (b"1", b"2", b"3"):
            last = await session.put("/errors/a", value)
        proxy.etcd.compact()
        with pytest.raises(StoreCompacted) as compacted:
            await session.read_at("/errors/a", last - 2)
        assert not compacted.value.rewound
        with pytest.raises(StoreCompacted) as ahead:
            await session.read_at("/errors/a", last + 1_000_000)
        assert ahead.value.rewound
        with pytest.raises(LeaseGone):
            await session.put("/errors/b", b"", 12345)
        await session.revoke(12345)
        assert session.stats.outage_since is None


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_watch_behind_a_proxy_lists_again_after_a_compaction(proxy: Proxy) -> None:
    async with (
        EtcdSession(proxy.settings, pace=QUICK) as session,
        EtcdSession(proxy.etcd.settings()) as other,
    ):
        await other.put("/compacted/a", b"1")
        watch = session.watch("/compacted/")
        assert isinstance(await anext(watch), Snapshot)
        proxy.kill()
        assert isinstance(await _first(watch.__anext__, Stale), Stale)
        for value in (b"2", b"3"):
            await other.put("/compacted/a", value)
        proxy.etcd.compact()
        proxy.start()
        again = await _first(watch.__anext__, Snapshot)
        assert isinstance(again, Snapshot)
        assert again.reason == "compacted"
        assert [kv.value for kv in again.items] == [b"3"]
        await other.put("/compacted/a", b"4")
        assert isinstance(await _first(watch.__anext__, Delta), Delta)


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_silent_watch_behind_a_proxy_is_not_taken_for_a_hung_one(proxy: Proxy) -> None:
    """Eight silences and more: the spare watch is opened and ended by turns."""
    async with EtcdSession(proxy.settings, pace=QUICK) as session:
        watch = session.watch("/silent/")
        assert isinstance(await anext(watch), Snapshot)
        news = asyncio.ensure_future(anext(watch))
        done, _ = await asyncio.wait({news}, timeout=10 * QUICK.silence)
        assert not done, news.result()
        await session.put("/silent/a", b"1")
        assert isinstance(await asyncio.wait_for(news, 10), Delta)
        await watch.aclose()
        assert session.stats.outage_since is None


@pytest.mark.parametrize(
    ("details", "kind", "cure"),
    [
        ("etcdserver: mvcc: required revision has been compacted", StoreCompacted, Cure.NONE),
        ("etcdserver: mvcc: required revision is a future revision", StoreCompacted, Cure.NONE),
        ("etcdserver: requested lease not found", LeaseGone, Cure.NONE),
        ("etcdserver: permission denied", StoreDenied, Cure.NONE),
        ("etcdserver: invalid auth token", StoreDenied, Cure.NEW_TOKEN),
        ("etcdserver: user name is empty", StoreDenied, Cure.NEW_TOKEN),
        ("etcdserver: authentication failed, invalid user ID or password", StoreDenied, Cure.NONE),
        ("etcdserver: mvcc: database space exceeded", StoreError, Cure.NONE),
        ("etcdserver: request is too large", StoreError, Cure.NONE),
        ("etcdserver: too many requests", StoreUnavailable, Cure.OTHER_ENDPOINT),
        ("etcdserver: request timed out", StoreUnavailable, Cure.OTHER_ENDPOINT),
        ("etcdserver: no leader", StoreUnavailable, Cure.OTHER_ENDPOINT),
    ],
)
def test_error_of_etcd_means_the_same_with_the_code_unknown(
    details: str, kind: type[FlanpyError], cure: Cure
) -> None:
    error = AioRpcError(grpc.StatusCode.UNKNOWN, Metadata(), Metadata(), details=details)
    fault = read_fault(error, "txn", "http://192.0.2.1:2379", username="flanpy")
    assert type(fault.error) is kind
    assert fault.cure is cure


async def _first(following: Callable[[], object], kind: type[News]) -> News:
    while True:
        news = await asyncio.wait_for(following(), 20)  # type: ignore[arg-type,var-annotated]
        if isinstance(news, kind):
            return news
