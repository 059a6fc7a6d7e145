"""Checks of a request that need no look at the keys, as etcd does them before anything else.

Pure (etcd server/etcdserver/api/v3rpc/key.go). Raises `Refusal`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flanpy.store import etcdpb as pb
from flanpy.storeserver.refusal import Refusal, RefusalReason

MAX_OPS: Final = 128
"""Operations and compares of one transaction: etcd's `--max-txn-ops`."""
MAX_REQUEST: Final = 1536 * 1024
"""Bytes of one write: etcd's `--max-request-bytes`."""

Span = tuple[bytes, bytes]


def check_range(request: pb.RangeRequest) -> None:
    """Refuse a read without a key, or with an order that does not exist."""
    if not request.key:
        raise Refusal(RefusalReason.EMPTY_KEY)
    orders, targets = pb.RangeRequest.SortOrder.values(), pb.RangeRequest.SortTarget.values()
    if request.sort_order not in orders or request.sort_target not in targets:
        raise Refusal(RefusalReason.INVALID_SORT)


def check_put(request: pb.PutRequest) -> None:
    """Refuse a write without a key, or with what it asks to ignore."""
    if not request.key:
        raise Refusal(RefusalReason.EMPTY_KEY)
    if request.ignore_value and request.value:
        raise Refusal(RefusalReason.VALUE_PROVIDED)
    if request.ignore_lease and request.lease:
        raise Refusal(RefusalReason.LEASE_PROVIDED)


def check_delete(request: pb.DeleteRangeRequest) -> None:
    """Refuse a deletion without a key."""
    if not request.key:
        raise Refusal(RefusalReason.EMPTY_KEY)


def check_txn(request: pb.TxnRequest) -> None:
    """Refuse a transaction that is too long, that has a bad request in it, or that writes a key twice."""
    _check_parts(request, MAX_OPS)
    for branch in (request.success, request.failure):
        _written_once(branch)


def _check_parts(request: pb.TxnRequest, most: int) -> None:
    if max(len(request.compare), len(request.success), len(request.failure)) > most:
        raise Refusal(RefusalReason.TOO_MANY_OPS)
    if any(not compare.key for compare in request.compare):
        raise Refusal(RefusalReason.EMPTY_KEY)
    left = most - max(len(request.success), len(request.failure))
    for operation in (*request.success, *request.failure):
        _check_operation(operation, left)


def check_size(request: pb.PutRequest | pb.DeleteRangeRequest | pb.TxnRequest) -> None:
    """Refuse a write that is larger than etcd takes."""
    if request.ByteSize() > MAX_REQUEST:
        raise Refusal(RefusalReason.TOO_LARGE)


def _check_operation(operation: pb.RequestOp, left: int) -> None:
    match operation.WhichOneof("request"):
        case "request_range":
            check_range(operation.request_range)
        case "request_put":
            check_put(operation.request_put)
        case "request_delete_range":
            check_delete(operation.request_delete_range)
        case "request_txn":
            _check_parts(operation.request_txn, left)
        case _:
            raise Refusal(RefusalReason.KEY_NOT_FOUND)


def _written_once(branch: Iterable[pb.RequestOp]) -> tuple[set[bytes], list[Span]]:
    """Refuse a branch that puts a key twice, or puts one that it deletes; return its puts and deletions.

    The two branches of a nested transaction do not meet: only one of them runs.
    """
    puts: set[bytes] = set()
    gone: list[Span] = []
    for operation in branch:
        match operation.WhichOneof("request"):
            case "request_put":
                more_puts, more_gone = {operation.request_put.key}, []
            case "request_delete_range":
                asked = operation.request_delete_range
                more_puts, more_gone = set(), [(asked.key, asked.range_end)]
            case "request_txn":
                more_puts, more_gone = _of_nested(operation.request_txn)
            case _:
                continue
        _apart(puts, more_puts, gone, more_gone)
        puts |= more_puts
        gone += more_gone
    return puts, gone


def _of_nested(request: pb.TxnRequest) -> tuple[set[bytes], list[Span]]:
    success, failure = _written_once(request.success), _written_once(request.failure)
    return success[0] | failure[0], success[1] + failure[1]


def _apart(puts: set[bytes], more_puts: set[bytes], gone: list[Span], more_gone: list[Span]) -> None:
    met = puts & more_puts or any(
        _within(key, span)
        for keys, spans in ((puts, more_gone), (more_puts, gone))
        for key in keys
        for span in spans
    )
    if met:
        raise Refusal(RefusalReason.DUPLICATE_KEY)


def _within(key: bytes, span: Span) -> bool:
    start, end = span
    return key == start if not end else key >= start and (end == b"\0" or key < end)
