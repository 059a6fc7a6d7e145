"""The translation between the port's values and etcd's messages, by way of the etcd3 package.

Owns the loading of etcd3 and the only use of its names: request builders, transactions, exceptions. Must not do any
input or output. etcd3's client, watcher, lease and lock classes are not used: they fail in ordinary faults (an outage
spins a core, a token is never renewed, a hung server is never noticed); `EtcdSession` takes their place.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any, assert_never

from flanpy.store import etcdpb as pb
from flanpy.store.port import (
    Compare,
    CompareTarget,
    DeleteKey,
    Deletion,
    Delta,
    Get,
    KeyValue,
    Operation,
    PutKey,
    Relation,
    Txn,
    TxnResult,
)


def _load_etcd3() -> tuple[Any, Any, Any]:
    """Import etcd3's sound modules over our stubs: its `client`, `transactions` and `exceptions`.

    `etcd3/__init__.py` is passed by, and the two modules that we do not use stand empty while `client` loads: they
    would cost 20 ms and tenacity at every start.
    """
    package = ModuleType("etcd3")
    spec = importlib.util.find_spec("etcd3")
    assert spec is not None
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules.update({"etcd3": package, "etcd3.etcdrpc": pb})
    unused = ("etcd3.locks", "etcd3.watch")
    sys.modules.update({name: ModuleType(name) for name in unused})
    try:
        from etcd3 import client, exceptions, transactions  # noqa: PLC0415
    finally:
        for name in unused:
            del sys.modules[name]
    return client, transactions, exceptions


_client, _transactions, _exceptions = _load_etcd3()
_Etcd3Client: Any = _client.Etcd3Client
_BaseCompare: Any = _transactions.BaseCompare


class _Builders(_Etcd3Client):  # type: ignore[misc]
    """etcd3's request builders without its connection: they use nothing of the instance."""

    def __init__(self) -> None:
        """Open no channel, start no thread."""


class _LeaseCompare(_BaseCompare):  # type: ignore[misc]
    """The one compare that etcd3 lacks."""

    def build_compare(self, message: pb.Compare) -> None:
        message.target = pb.Compare.LEASE
        message.lease = int(self.value)


_builders = _Builders()
_COMPARES = {
    CompareTarget.CREATE_REVISION: _transactions.Create,
    CompareTarget.MOD_REVISION: _transactions.Mod,
    CompareTarget.VERSION: _transactions.Version,
    CompareTarget.VALUE: _transactions.Value,
    CompareTarget.LEASE: _LeaseCompare,
}


def encode_key(key: str) -> bytes:
    """Return the key as etcd stores it."""
    return key.encode("utf-8", "surrogateescape")


def decode_key(key: bytes) -> str:
    """Decode a stored key: the inverse of `encode_key`, for any bytes."""
    return key.decode("utf-8", "surrogateescape")


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """Return the first key and the end (exclusive) of all keys that begin with `prefix`; etcd's rule for both corners.

    etcd3's `increment_last_byte` fails on a last byte 0xff. An end of a zero byte means: no end.
    """
    start = encode_key(prefix)
    stem = start.rstrip(b"\xff")
    if not stem:
        return start or b"\0", b"\0"
    return start, stem[:-1] + bytes([stem[-1] + 1])


def range_request(
    start: bytes, end: bytes | None = None, *, limit: int = 0, revision: int = 0
) -> pb.RangeRequest:
    """Return a linearizable read in key order; `revision` 0 reads the newest."""
    request: pb.RangeRequest = _builders._build_get_range_request(start, end)  # noqa: SLF001
    request.limit = limit
    request.revision = revision
    return request


def txn_request(txn: Txn) -> pb.TxnRequest:
    """Return the request of a transaction."""
    return pb.TxnRequest(
        compare=[_compare(compare) for compare in txn.compare],
        success=_requests(txn.success),
        failure=_requests(txn.failure),
    )


def _requests(operations: Iterable[Operation]) -> list[pb.RequestOp]:
    requests: list[pb.RequestOp] = _builders._ops_to_requests(map(_operation, operations))  # noqa: SLF001
    return requests


def _operation(operation: Operation) -> Any:
    match operation:
        case PutKey(key, value, lease_id):
            return _transactions.Put(encode_key(key), value, lease_id)
        case Get(key, prefix):
            return _transactions.Get(*(prefix_range(key) if prefix else (encode_key(key),)))
        case DeleteKey(key, prefix):
            return _transactions.Delete(*(prefix_range(key) if prefix else (encode_key(key),)))
        case _:
            assert_never(operation)


def _compare(compare: Compare) -> pb.Compare:
    term = _COMPARES[compare.target](encode_key(compare.key))
    message: pb.Compare = _related(term, compare.relation, compare.operand).build_message()
    if compare.prefix:
        message.key, message.range_end = prefix_range(compare.key)
    return message


def _related(term: Any, relation: Relation, operand: int | bytes) -> Any:
    # etcd3 overloads the comparison operators: each returns the term itself, filled in.
    match relation:
        case Relation.EQUAL:
            return term == operand
        case Relation.NOT_EQUAL:
            return term != operand
        case Relation.GREATER:
            return term > operand
        case Relation.LESS:
            return term < operand
        case _:
            assert_never(relation)


def key_value(message: pb.KeyValue) -> KeyValue:
    """Return one key as the port's value."""
    return KeyValue(
        decode_key(message.key),
        message.value,
        message.create_revision,
        message.mod_revision,
        message.version,
        message.lease,
    )


def txn_result(reply: pb.TxnResponse) -> TxnResult:
    """Return the outcome of a transaction, and the keys that its reads found."""
    reads = tuple(key_value(kv) for response in reply.responses for kv in response.response_range.kvs)
    return TxnResult(reply.succeeded, reply.header.revision, reads)


def delta(events: Iterable[pb.Event]) -> Delta:
    """Return the net changes of `events`, which etcd sends in revision order: the last event of a key counts."""
    last = {event.kv.key: event for event in events}
    puts = tuple(key_value(event.kv) for event in last.values() if event.type == pb.Event.PUT)
    deletes = tuple(
        Deletion(decode_key(event.kv.key), event.kv.mod_revision)
        for event in last.values()
        if event.type == pb.Event.DELETE
    )
    return Delta(puts, deletes, max(event.kv.mod_revision for event in last.values()))


def compacted(revision: int) -> Exception:
    """Return etcd3's exception for a watch that starts at a compacted revision; the cause of our `StoreCompacted`."""
    error: Exception = _exceptions.RevisionCompactedError(revision)
    return error
