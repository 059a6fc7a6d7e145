"""Reads: from a range request to etcd's answer.

Owns order, limit, filters and counts (etcd server/etcdserver/apply.go, Range). Must not write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flanpy.store import etcdpb as pb
from flanpy.storeserver.database import Database
from flanpy.storeserver.refusal import Refusal, RefusalReason

_FIELDS: Final[dict[int, Callable[[pb.KeyValue], Any]]] = {
    pb.RangeRequest.KEY: lambda kv: kv.key,
    pb.RangeRequest.VERSION: lambda kv: kv.version,
    pb.RangeRequest.CREATE: lambda kv: kv.create_revision,
    pb.RangeRequest.MOD: lambda kv: kv.mod_revision,
    pb.RangeRequest.VALUE: lambda kv: kv.value,
}


def ranged(database: Database, request: pb.RangeRequest, *, newest: int, compacted: int) -> pb.RangeResponse:
    """Return the answer without its header. Raises `Refusal` for a revision that is not there."""
    if request.revision > newest:
        raise Refusal(RefusalReason.FUTURE_REVISION)
    if 0 < request.revision < compacted:
        raise Refusal(RefusalReason.COMPACTED)
    past = 0 < request.revision < newest
    if request.count_only and not past:
        return pb.RangeResponse(count=database.count(request.key, request.range_end))
    if past:
        found = database.select_at(request.key, request.range_end, request.revision)
        count = len(found)
    else:
        found, count = _live(database, request)
    if request.count_only:
        return pb.RangeResponse(count=count)
    found = _sorted(request, _filtered(request, found))
    more = 0 < request.limit < len(found)
    found = found[: request.limit] if more else found
    if request.keys_only:
        for kv in found:
            kv.value = b""
    return pb.RangeResponse(kvs=found, more=more, count=count)


def _live(database: Database, request: pb.RangeRequest) -> tuple[list[pb.KeyValue], int]:
    if request.limit > 0 and _natural(request):
        # One more than asked for tells whether there is more.
        found = database.select(request.key, request.range_end, limit=request.limit + 1)
        if len(found) > request.limit:
            return found, database.count(request.key, request.range_end)
        return found, len(found)
    found = database.select(request.key, request.range_end)
    return found, len(found)


def _natural(request: pb.RangeRequest) -> bool:
    by_key = request.sort_target == pb.RangeRequest.KEY and request.sort_order != pb.RangeRequest.DESCEND
    return by_key and not any(_bounds(request))


def _bounds(request: pb.RangeRequest) -> tuple[int, int, int, int]:
    return (
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    )


def _filtered(request: pb.RangeRequest, found: list[pb.KeyValue]) -> list[pb.KeyValue]:
    least, most, least_created, most_created = _bounds(request)
    if not any(_bounds(request)):
        return found
    return [
        kv
        for kv in found
        if _between(kv.mod_revision, least, most)
        and _between(kv.create_revision, least_created, most_created)
    ]


def _between(number: int, least: int, most: int) -> bool:
    return number >= least and (most == 0 or number <= most)


def _sorted(request: pb.RangeRequest, found: list[pb.KeyValue]) -> list[pb.KeyValue]:
    by_key = request.sort_target == pb.RangeRequest.KEY
    if by_key and request.sort_order != pb.RangeRequest.DESCEND:
        return found
    down = request.sort_order == pb.RangeRequest.DESCEND
    return sorted(found, key=_FIELDS[request.sort_target], reverse=down)
