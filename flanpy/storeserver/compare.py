"""The compares of a transaction, over the keys as they are.

Pure (etcd server/etcdserver/apply.go, applyCompare). A compare over a range holds if it holds for every key; over no
key at all it judges one absent key, whose numbers are 0, and whose value compares with nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from flanpy.store import etcdpb as pb

_ABSENT = pb.KeyValue()


def holds(compare: pb.Compare, found: Sequence[pb.KeyValue]) -> bool:
    """Tell whether a compare holds for the keys that its range has."""
    if not found:
        return compare.target != pb.Compare.VALUE and _holds_for(compare, _ABSENT)
    return all(_holds_for(compare, kv) for kv in found)


def _holds_for(compare: pb.Compare, kv: pb.KeyValue) -> bool:
    if compare.target == pb.Compare.VALUE:
        order = (kv.value > compare.value) - (kv.value < compare.value)
    else:
        actual, wanted = _numbers(compare, kv)
        order = (actual > wanted) - (actual < wanted)
    match compare.result:
        case pb.Compare.EQUAL:
            return order == 0
        case pb.Compare.NOT_EQUAL:
            return order != 0
        case pb.Compare.GREATER:
            return order > 0
        case pb.Compare.LESS:
            return order < 0
        case _:  # a result of a later etcd: etcd takes it for true
            return True


def _numbers(compare: pb.Compare, kv: pb.KeyValue) -> tuple[int, int]:
    match compare.target:
        case pb.Compare.CREATE:
            return kv.create_revision, compare.create_revision
        case pb.Compare.MOD:
            return kv.mod_revision, compare.mod_revision
        case pb.Compare.LEASE:
            return kv.lease, compare.lease
        case _:
            return kv.version, compare.version
