"""The services beyond what is compared with etcd: leases over restarts, bounds of watches, TLS, users, absent calls."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from flanpy.store import etcdpb as pb
from flanpy.storeserver.access import hashed
from flanpy.storeserver.watchers import MOST_WAITING
from integration.etcd.pki import make_certificate
from tests.etcd_server import EmbeddedStore, poll
from tests.storeserver.clients import Raw, raw

PASSWORD = "swordfish-of-the-store"


@pytest.fixture(scope="module")
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore.started() as started:
        yield started


@pytest.fixture
def client(store: EmbeddedStore) -> Iterator[Raw]:
    with raw(store.urls[0]) as found:
        yield found


def _refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code(), refused.value.details() or ""


def _left(client: Raw, lease_id: int) -> int:
    answer = client.lease.LeaseTimeToLive(pb.LeaseTimeToLiveRequest(ID=lease_id), timeout=30)
    return int(answer.TTL)


def test_lease_that_nobody_renews_ends_with_its_keys_and_a_watch_hears_it(client: Raw) -> None:
    lease = client.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=1))
    assert lease.TTL == 2  # etcd's least
    client.put(b"lease/a", b"1", lease=lease.ID)
    create = pb.WatchCreateRequest(key=b"lease/a", prev_kv=True)
    call = client.watching([pb.WatchRequest(create_request=create)])
    assert next(call).created
    (event,) = next(call).events
    assert (event.type, event.prev_kv.value) == (pb.Event.DELETE, b"1")
    assert _left(client, lease.ID) == -1
    assert client.values(b"lease/") == {}


def _seconds_since(began: float) -> int:
    """Return how much of a lease may be gone since: what is left is told in whole seconds."""
    return int(time.monotonic() - began) + 2


def test_lease_has_the_time_it_had_left_after_a_restart_and_is_never_shortened() -> None:
    with EmbeddedStore.started() as store:
        with raw(store.urls[0]) as client:
            slow, quick = (client.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=60)).ID for _ in range(2))
            client.put(b"slow", lease=slow)
            poll(lambda: _left(client, slow) <= 57, "time goes by")
            left, began = _left(client, slow), time.monotonic()
        store.stop()
        store.start()
        with raw(store.urls[0]) as client:
            assert left - _seconds_since(began) <= _left(client, slow) <= 57
            # Renewed, then killed at once: the renewal was answered, so it counts.
            answer = next(client.lease.LeaseKeepAlive(iter([pb.LeaseKeepAliveRequest(ID=quick)])))
            assert answer.TTL == 60
            began = time.monotonic()
        store.kill()
        store.start()
        with raw(store.urls[0]) as client:
            assert 60 - _seconds_since(began) <= _left(client, quick) <= 60
            assert _left(client, slow) <= 57
            assert set(client.values(b"slow")) == {b"slow"}
            ids = client.lease.LeaseLeases(pb.LeaseLeasesRequest()).leases
            assert {one.ID for one in ids} == {slow, quick}


def test_unknown_lease_is_refused_in_etcds_words(client: Raw) -> None:
    unknown = 4711
    revoke = pb.LeaseRevokeRequest(ID=unknown)
    assert _refused(lambda: client.lease.LeaseRevoke(revoke)) == (
        grpc.StatusCode.NOT_FOUND,
        "etcdserver: requested lease not found",
    )
    beat = next(client.lease.LeaseKeepAlive(iter([pb.LeaseKeepAliveRequest(ID=unknown)])))
    assert beat.TTL == 0


def test_lease_id_is_granted_once_and_time_has_a_limit(client: Raw) -> None:
    client.lease.LeaseGrant(pb.LeaseGrantRequest(ID=5, TTL=600))
    again = _refused(lambda: client.lease.LeaseGrant(pb.LeaseGrantRequest(ID=5, TTL=600)))
    assert again == (grpc.StatusCode.FAILED_PRECONDITION, "etcdserver: lease already exists")
    long = _refused(lambda: client.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=10**10)))
    assert long == (grpc.StatusCode.OUT_OF_RANGE, "etcdserver: too large lease TTL")


def test_watch_of_what_is_compacted_is_cancelled_with_the_revision_that_is_left(client: Raw) -> None:
    for number in range(5):
        revision = client.put(b"compacted", b"%d" % number).header.revision
    client.kv.Compact(pb.CompactionRequest(revision=revision))
    create = pb.WatchCreateRequest(key=b"compacted", start_revision=revision - 3)
    call = client.watching([pb.WatchRequest(create_request=create)])
    assert next(call).created
    answer = next(call)
    assert (answer.canceled, answer.compact_revision) == (True, revision)


def test_watches_of_one_stream_have_ids_that_end_and_progress_comes_last(client: Raw) -> None:
    requests = [
        pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"one")),
        pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"two", watch_id=9)),
        pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"three", watch_id=9)),
        pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"b", range_end=b"a")),
        pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=9)),
        pb.WatchRequest(progress_request=pb.WatchProgressRequest()),
    ]
    call = client.watching(requests)
    told = [next(call) for _ in requests]
    assert [(one.watch_id, one.created, one.canceled) for one in told] == [
        (0, True, False),
        (9, True, False),
        (-1, True, True),
        (-1, True, True),
        (9, False, True),
        (-1, False, False),
    ]
    assert [one.cancel_reason for one in told[2:4]] == [
        "mvcc: duplicate watch ID provided on the WatchStream",
        "mvcc: watcher range is empty",
    ]


def test_watch_whose_reader_is_slow_is_told_everything_in_order(client: Raw) -> None:
    first = client.put(b"slow/0").header.revision + 1
    create = pb.WatchCreateRequest(key=b"slow/", range_end=b"slow0")
    call = client.watching([pb.WatchRequest(create_request=create)])
    assert next(call).created
    # More than waits for one watch, and one revision with more than fits into an answer.
    for round_ in range(3):
        for start in range(0, MOST_WAITING, 100):
            puts = [
                pb.RequestOp(request_put=pb.PutRequest(key=b"slow/%d" % (start + one), value=b"x" * 2000))
                for one in range(100)
            ]
            client.kv.Txn(pb.TxnRequest(success=puts))
        last = client.kv.DeleteRange(pb.DeleteRangeRequest(key=b"slow/", range_end=b"slow0"))
        assert last.deleted == MOST_WAITING, round_
    events: list[pb.Event] = []
    while not events or events[-1].kv.mod_revision < last.header.revision:
        events += next(call).events
    revisions = [event.kv.mod_revision for event in events]
    assert revisions == sorted(revisions)
    assert set(revisions) == set(range(first, last.header.revision + 1))
    while len(events) < 6 * MOST_WAITING:
        events += next(call).events
    assert len(events) == 6 * MOST_WAITING


def test_watch_in_pieces_marks_all_but_the_last(client: Raw) -> None:
    start = client.put(b"piece/0").header.revision + 1
    for one in range(3):
        client.put(b"piece/%d" % one, b"x" * 900_000)
    create = pb.WatchCreateRequest(
        key=b"piece/", range_end=b"piece0", start_revision=start, fragment=True, prev_kv=True
    )
    call = client.watching([pb.WatchRequest(create_request=create)])
    assert next(call).created
    told = [next(call) for _ in range(3)]
    assert [(len(one.events), one.fragment) for one in told] == [(1, True), (1, True), (1, False)]


def test_what_it_does_not_have_says_so(client: Raw) -> None:
    for method in ("/etcdserverpb.Cluster/MemberList", "/etcdserverpb.Auth/UserAdd", "/v3lockpb.Lock/Lock"):
        ask: Any = client.channel.unary_unary(method)
        code, text = _refused(partial(ask, b""))
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert method in text
        assert "flanpy-store" in text


def test_requests_beyond_etcds_limits_are_refused_in_its_words(client: Raw) -> None:
    large = _refused(lambda: client.put(b"large", b"x" * (1536 * 1024)))
    assert large == (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large")
    many = pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))] * 129)
    assert _refused(lambda: client.kv.Txn(many)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "etcdserver: too many operations in txn request",
    )


def test_login_is_refused_where_there_are_no_users(client: Raw) -> None:
    login = pb.AuthenticateRequest(name="root", password="x")
    assert _refused(lambda: client.auth.Authenticate(login)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "etcdserver: authentication is not enabled",
    )


@contextmanager
def _channel(store: EmbeddedStore, *names: str) -> Iterator[Raw]:
    key, certificate = (
        (store.directory / f"{name}").read_bytes() if name else None for name in (names or ("", ""))
    )
    credentials = grpc.ssl_channel_credentials(store.ca.read_bytes(), key, certificate)
    with grpc.secure_channel(store.urls[0].partition("//")[2], credentials) as channel:
        yield Raw(channel)


def test_tls_wants_a_client_certificate_and_takes_a_renewed_one_of_its_own() -> None:
    with EmbeddedStore.started(client_certs=True) as store:
        with _channel(store, "client.key", "client.crt") as client:
            client.put(b"a", b"1")
        with _channel(store) as stranger:
            code, _ = _refused(lambda: stranger.put(b"a", b"2"))
            assert code is grpc.StatusCode.UNAVAILABLE
        before = _shown(store)
        make_certificate(store.directory, "server", names="IP:127.0.0.1")
        poll(lambda: _shown(store) != before, "the new certificate is shown")
        with _channel(store, "client.key", "client.crt") as client:
            assert client.values(b"a") == {b"a": b"1"}


def _shown(store: EmbeddedStore) -> str:
    argv = ["openssl", "s_client", "-connect", store.urls[0].partition("//")[2]]
    done = subprocess.run(argv, input="", capture_output=True, text=True, check=False)
    return done.stdout.partition("BEGIN CERTIFICATE")[2].partition("END CERTIFICATE")[0]


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (("--listen-client-urls", "http://0.0.0.0:2379"), 78, "without TLS beyond this host"),
        (("--listen-client-urls", "http://192.0.2.1:2379"), 78, "without TLS beyond this host"),
        (
            ("--listen-client-urls", "https://127.0.0.1:2379"),
            78,
            "needs cert-file and key-file and trusted-ca-file",
        ),
        (("--listen-client-urls", "ftp://127.0.0.1:2379"), 78, "is no URL such as https://192.0.2.1:2379"),
        (("--listen-client-urls", "http://localhost:2379"), 78, "must have an IP address, not a name"),
        (("--history", "soon"), 78, "history 'soon' is no time"),
        (("--quota-backend-bytes", "1"), 78, "is not a number from 1048576 on"),
        (("--log-level", "loud"), 78, "log-level 'loud' is none of"),
        (("--users-file", "/nowhere"), 78, "users-file '/nowhere' cannot be read"),
        (("--no-such-flag",), 2, "see flanpy-store --help"),
    ],
)
def test_bad_setting_gets_one_line_that_names_it(
    store: EmbeddedStore, tmp_path: Path, flags: tuple[str, ...], code: int, text: str
) -> None:
    at = store.member.argv.index("--data-dir")
    argv = [*store.member.argv[:at], "--data-dir", str(tmp_path), *flags]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("flanpy-store: ")
    assert text in done.stderr


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Raw]:
    users = tmp_path / "users.toml"
    users.write_text(
        f'[users.root]\npassword = "{hashed(PASSWORD)}"\n'
        f'[users.flanpy]\npassword = "{hashed(PASSWORD)}"\nprefixes = ["/net/"]\n'
    )
    with EmbeddedStore.started("--users-file", str(users)) as store, raw(store.urls[0]) as client:
        yield client


def test_users_log_in_and_see_their_prefixes_only(guarded: Raw) -> None:
    def token(name: str, password: str = PASSWORD) -> list[tuple[str, str]]:
        login = pb.AuthenticateRequest(name=name, password=password)
        return [("token", guarded.auth.Authenticate(login).token)]

    def snapshot(request: Any, *, metadata: list[tuple[str, str]]) -> Any:
        return next(guarded.maintenance.Snapshot(request, metadata=metadata))

    wrong = (
        grpc.StatusCode.INVALID_ARGUMENT,
        "etcdserver: authentication failed, invalid user ID or password",
    )
    assert _refused(lambda: token("flanpy", "guess")) == wrong
    assert _refused(lambda: token("nobody")) == wrong
    put = pb.PutRequest(key=b"/net/config", value=b"{}")
    assert _refused(lambda: guarded.kv.Put(put))[1] == "etcdserver: user name is empty"
    forged = [("token", "forged")]
    assert _refused(lambda: guarded.kv.Put(put, metadata=forged)) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "etcdserver: invalid auth token",
    )
    own, root = token("flanpy"), token("root")
    theirs = guarded.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=600), metadata=root).ID
    guarded.kv.Put(pb.PutRequest(key=b"/other", lease=theirs), metadata=root)
    nested = pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=b"/net/a", lease=theirs))])
    guarded.kv.Put(put, metadata=own)
    for call, request in (
        (guarded.kv.Put, pb.PutRequest(key=b"/other2")),
        (guarded.kv.Range, pb.RangeRequest(key=b"/net/", range_end=b"\0")),
        (guarded.kv.Range, pb.RangeRequest(key=b"/n", range_end=b"/o")),
        (guarded.kv.DeleteRange, pb.DeleteRangeRequest(key=b"/net/x", range_end=b"/oa")),
        (guarded.kv.Txn, pb.TxnRequest(failure=[pb.RequestOp(request_put=pb.PutRequest(key=b"/x"))])),
        (guarded.kv.Txn, pb.TxnRequest(compare=[pb.Compare(key=b"/x")])),
        (guarded.kv.Put, pb.PutRequest(key=b"/net/a", lease=theirs)),
        (guarded.kv.Txn, pb.TxnRequest(success=[pb.RequestOp(request_txn=nested)])),
        (guarded.lease.LeaseTimeToLive, pb.LeaseTimeToLiveRequest(ID=theirs, keys=True)),
        (guarded.lease.LeaseRevoke, pb.LeaseRevokeRequest(ID=theirs)),
        (guarded.maintenance.Alarm, pb.AlarmRequest()),
        (snapshot, pb.SnapshotRequest()),
    ):
        code, text = _refused(partial(call, request, metadata=own))
        assert (code, text) == (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied"), request
        if request != pb.TxnRequest(compare=[pb.Compare(key=b"/x")]):
            call(request, metadata=root)
    seen = guarded.kv.Range(pb.RangeRequest(key=b"/net/", range_end=b"/net0"), metadata=own)
    assert [kv.key for kv in seen.kvs] == [b"/net/config"]
    watch = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"/", range_end=b"0"))
    answer = next(guarded.watch.Watch(iter([watch]), metadata=own))
    assert (answer.canceled, answer.cancel_reason) == (True, "etcdserver: permission denied")


def test_three_thousand_writes_at_once_are_all_taken() -> None:
    """As when all hosts come back at once: grpc cancels what waits beyond a thousand, unless told otherwise."""

    async def write(url: str) -> int:
        async with grpc.aio.insecure_channel(url.partition("//")[2]) as channel:
            put = pb.KVStub(channel).Put  # type: ignore[no-untyped-call]
            calls = (put(pb.PutRequest(key=b"many/%d" % number), timeout=60) for number in range(3000))
            return len(await asyncio.gather(*calls))

    with EmbeddedStore.started() as store:
        assert asyncio.run(write(store.urls[0])) == 3000
