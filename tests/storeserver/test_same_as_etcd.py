"""The embedded store answers as a real etcd does: the same requests to both, the answers compared to the last field.

Both begin empty, and nobody else writes, so revisions agree too. What differs by nature is left out: ids and the term.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flanpy.store import etcdpb as pb
from tests.etcd_server import EmbeddedStore, EtcdCluster
from tests.storeserver.clients import Raw, raw

pytestmark = pytest.mark.etcd

KEYS = st.sampled_from([b"a", b"b", b"ba", b"c", b"\x00", b"\xff", b"d/1", b"d/2"])
ENDS = st.sampled_from([b"", b"", b"\0", b"b", b"c", b"e", b"\xff\xff"])
VALUES = st.sampled_from([b"", b"1", b"2", b"\xff", b"x" * 100])
LEASES = st.sampled_from([0, 0, 7, 8, 99])
EMPTY_TOO = st.one_of(KEYS, KEYS, KEYS, st.just(b""))
BACK = st.integers(-3, 12)


@dataclass
class Pair:
    """Both servers. `revision` is what both say."""

    etcd: Raw
    store: Raw

    @property
    def revision(self) -> int:
        return int(self.etcd.kv.Range(pb.RangeRequest(key=b"?")).header.revision)

    def same(self, call: Callable[[Raw], Any]) -> Any:
        """Make one call to both; their answer, which must be the same one."""
        expected, got = _outcome(call, self.etcd), _outcome(call, self.store)
        assert got == expected
        return got


def _outcome(call: Callable[[Raw], Any], raw: Raw) -> Any:
    try:
        answer = call(raw)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return _plain(answer)


def _plain(answer: Any) -> Any:
    for header in _headers(answer):
        header.cluster_id = header.member_id = header.raft_term = 0
    return answer


def _headers(answer: Any) -> Iterator[pb.ResponseHeader]:
    if answer.HasField("header"):
        yield answer.header
    if isinstance(answer, pb.TxnResponse):
        for response in answer.responses:
            inner = getattr(response, response.WhichOneof("response"))
            # etcd fills in no more than a revision here, and that differently by kind; ours is the transaction's.
            inner.ClearField("header")
            yield from _headers(inner)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with (
        EtcdCluster.started() as etcd,
        EmbeddedStore.started() as store,
        raw(etcd.urls[0]) as one,
        raw(store.urls[0]) as other,
    ):
        for lease in (7, 8):
            for server in (one, other):
                server.lease.LeaseGrant(pb.LeaseGrantRequest(ID=lease, TTL=3600))
        yield Pair(one, other)


RANGES = st.builds(
    pb.RangeRequest,
    key=EMPTY_TOO,
    range_end=ENDS,
    limit=st.sampled_from([0, 0, 1, 2]),
    sort_order=st.sampled_from([0, 1, 2]),
    sort_target=st.sampled_from([0, 1, 2, 3, 4]),
    keys_only=st.booleans(),
    count_only=st.sampled_from([False, False, True]),
    min_mod_revision=st.sampled_from([0, 0, 5]),
    max_mod_revision=st.sampled_from([0, 0, 30]),
    min_create_revision=st.sampled_from([0, 0, 5]),
    max_create_revision=st.sampled_from([0, 0, 30]),
)
PUTS = st.builds(
    pb.PutRequest,
    key=EMPTY_TOO,
    value=VALUES,
    lease=LEASES,
    prev_kv=st.booleans(),
    ignore_value=st.sampled_from([False, False, True]),
    ignore_lease=st.sampled_from([False, False, True]),
)
DELETES = st.builds(pb.DeleteRangeRequest, key=EMPTY_TOO, range_end=ENDS, prev_kv=st.booleans())
OPERATIONS = st.one_of(
    st.builds(lambda one: pb.RequestOp(request_range=one), RANGES),
    st.builds(lambda one: pb.RequestOp(request_put=one), PUTS),
    st.builds(lambda one: pb.RequestOp(request_delete_range=one), DELETES),
)


def _compare(key: bytes, end: bytes, target: int, result: int, number: int, value: bytes) -> pb.Compare:
    compare = pb.Compare(key=key, range_end=end, result=result, target=target)  # type: ignore[arg-type]
    match target:
        case pb.Compare.VERSION:
            compare.version = number
        case pb.Compare.CREATE:
            compare.create_revision = number
        case pb.Compare.MOD:
            compare.mod_revision = number
        case pb.Compare.VALUE:
            compare.value = value
        case pb.Compare.LEASE:
            compare.lease = number
    return compare


COMPARES = st.builds(
    _compare, EMPTY_TOO, ENDS, st.integers(0, 4), st.integers(0, 3), st.sampled_from([0, 1, 2, 7, 20]), VALUES
)


def _txns(operations: Any) -> Any:
    several = st.lists(operations, max_size=3)
    return st.builds(pb.TxnRequest, compare=st.lists(COMPARES, max_size=2), success=several, failure=several)


NESTED = st.one_of(OPERATIONS, st.builds(lambda one: pb.RequestOp(request_txn=one), _txns(OPERATIONS)))
CALLS = st.one_of(
    st.tuples(st.just("Range"), RANGES, BACK),
    st.tuples(st.just("Put"), PUTS, st.just(0)),
    st.tuples(st.just("Put"), PUTS, st.just(0)),
    st.tuples(st.just("DeleteRange"), DELETES, st.just(0)),
    st.tuples(st.just("Txn"), _txns(NESTED), st.just(0)),
    st.tuples(st.just("Compact"), st.just(None), st.integers(-1, 30)),
    st.tuples(st.just("Leases"), LEASES, st.just(0)),
)


@settings(
    max_examples=int(os.environ.get("STORE_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(calls=st.lists(CALLS, min_size=1, max_size=25))
def test_every_answer_is_the_one_that_etcd_gives(pair: Pair, calls: list[tuple[str, Any, int]]) -> None:
    for name, request, back in calls:
        _once(pair, name, request, back)
    pair.same(lambda raw: raw.kv.Range(pb.RangeRequest(key=b"\0", range_end=b"\0")))


def _once(pair: Pair, name: str, request: Any, back: int) -> None:
    if name == "Compact":
        revision = pair.revision - back
        pair.same(lambda raw: raw.kv.Compact(pb.CompactionRequest(revision=revision, physical=True)))
    elif name == "Leases":
        asked = pb.LeaseTimeToLiveRequest(ID=request, keys=True)

        def bound(raw: Raw) -> Any:
            answer = raw.lease.LeaseTimeToLive(asked)
            answer.TTL = min(answer.TTL, 0)  # the seconds left differ
            keys = sorted(answer.keys)  # etcd tells them in no order
            del answer.keys[:]
            answer.keys.extend(keys)
            return answer

        pair.same(bound)
    else:
        if name == "Range":
            request.revision = pair.revision - back if back else 0
        pair.same(lambda raw: getattr(raw.kv, name)(request))


@pytest.mark.parametrize("filters", [[], [pb.WatchCreateRequest.NOPUT], [pb.WatchCreateRequest.NODELETE]])
@pytest.mark.parametrize("with_previous", [False, True])
@pytest.mark.parametrize("span", [(b"w/", b"w0"), (b"w/1", b""), (b"w/2", b"\0")])
def test_a_watch_from_the_past_and_on_tells_what_etcd_tells(
    pair: Pair, span: tuple[bytes, bytes], *, with_previous: bool, filters: list[int]
) -> None:
    start = pair.revision + 1
    _write_some(pair)
    create = pb.WatchCreateRequest(
        key=span[0],
        range_end=span[1],
        start_revision=start,
        prev_kv=with_previous,
        filters=filters,  # type: ignore[arg-type]
    )
    with _Watching(pair.etcd, create) as expected, _Watching(pair.store, create) as got:
        _write_some(pair)
        for key in (b"w/1", b"w/2"):
            pair.same(lambda raw, key=key: raw.put(key, b"last"))  # type: ignore[misc]
        every = pb.DeleteRangeRequest(key=b"w/", range_end=b"w0")
        last = pair.revision
        if filters == [pb.WatchCreateRequest.NOPUT]:
            last = pair.same(lambda raw: raw.kv.DeleteRange(every)).header.revision
        elif span == (b"w/1", b""):
            last -= 1  # the put of w/2 is not for it
        assert got.until(last) == expected.until(last)


def _write_some(pair: Pair) -> None:
    pair.same(lambda raw: raw.put(b"w/1", b"1"))
    pair.same(lambda raw: raw.put(b"w/2", b"2"))
    pair.same(lambda raw: raw.put(b"w/1", b"3"))
    both = pb.TxnRequest(
        success=[
            pb.RequestOp(request_put=pb.PutRequest(key=b"w/3", value=b"4")),
            pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"w/1")),
        ]
    )
    pair.same(lambda raw: raw.kv.Txn(both))


class _Watching:
    """One watch of one server, and its events so far."""

    def __init__(self, raw: Raw, create: pb.WatchCreateRequest) -> None:
        self._asked: queue.SimpleQueue[pb.WatchRequest | None] = queue.SimpleQueue()
        self._asked.put(pb.WatchRequest(create_request=create))
        self._call = raw.watch.Watch(iter(self._asked.get, None), timeout=60)

    def __enter__(self) -> _Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self._asked.put(None)
        self._call.cancel()

    def until(self, revision: int) -> list[pb.Event]:
        """All events up to the last of that revision."""
        events: list[pb.Event] = []
        while not events or events[-1].kv.mod_revision < revision:
            events += next(self._call).events
        return events
