"""One request that writes: what it does to the database, at one revision.

Owns puts, deletions, transactions, leases and compaction as etcd does them. Must not commit: many requests share one
commit, and one that raises `Refusal` is rolled back by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from flanpy.store import etcdpb as pb
from flanpy.storeserver.compare import holds
from flanpy.storeserver.database import Database, LeaseRow, StoreState
from flanpy.storeserver.refusal import Refusal, RefusalReason
from flanpy.storeserver.selection import ranged


class Change(NamedTuple):
    """A key as a request left it, and as it was before. A deleted key has version 0."""

    kv: pb.KeyValue
    previous: pb.KeyValue | None


@dataclass(slots=True)
class Writing:
    """A request at work, begun at `state`; `changes` in their order."""

    database: Database
    state: StoreState
    changes: list[Change] = field(default_factory=list)
    compacted: int | None = None

    @property
    def revision(self) -> int:
        """Return the revision of the store with this request done."""
        return self.state.revision + bool(self.changes)

    @property
    def _next(self) -> int:
        return self.state.revision + 1

    def header(self) -> pb.ResponseHeader:
        """Return the header of an answer."""
        return header(self.state, self.revision)

    def put_alone(self, request: pb.PutRequest) -> pb.PutResponse:
        """Write a key outside a transaction, where etcd looks at the lease before the key."""
        if request.lease and not self.database.has_lease(request.lease):
            raise Refusal(RefusalReason.LEASE_NOT_FOUND)
        return self.put(request)

    def put(self, request: pb.PutRequest) -> pb.PutResponse:
        """Write a key."""
        old = self.database.get(request.key)
        if (request.ignore_value or request.ignore_lease) and old is None:
            raise Refusal(RefusalReason.KEY_NOT_FOUND)
        value = old.value if old and request.ignore_value else request.value
        lease = old.lease if old and request.ignore_lease else request.lease
        if lease and not self.database.has_lease(lease):
            raise Refusal(RefusalReason.LEASE_NOT_FOUND)
        new = pb.KeyValue(
            key=request.key,
            value=value,
            lease=lease,
            mod_revision=self._next,
            create_revision=old.create_revision if old else self._next,
            version=old.version + 1 if old else 1,
        )
        self.database.write(new, len(self.changes))
        self.changes.append(Change(new, old))
        return pb.PutResponse(header=self.header(), prev_kv=old if request.prev_kv else None)

    def delete(self, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:
        """Delete the keys of a range."""
        found = self.database.select(request.key, request.range_end)
        self._delete(found)
        kept = found if request.prev_kv else ()
        return pb.DeleteRangeResponse(header=self.header(), deleted=len(found), prev_kvs=kept)

    def _delete(self, found: Iterable[pb.KeyValue]) -> None:
        for kv in found:
            gone = self.database.remove(kv.key, self._next, len(self.changes))
            self.changes.append(Change(gone, kv))

    def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        """Read, as it is after what this request did so far."""
        # A revision must be one of before: what this request does is not yet history.
        if request.revision > self.state.revision:
            raise Refusal(RefusalReason.FUTURE_REVISION)
        answer = ranged(self.database, request, newest=self.revision, compacted=self.state.compacted)
        answer.header.CopyFrom(self.header())
        return answer

    def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """Run a transaction. All compares, nested ones too, look at what was before it."""
        answer = self._run(request, self._paths(request))
        answer.header.CopyFrom(self.header())
        return answer

    def _paths(self, request: pb.TxnRequest) -> Iterator[bool]:
        """Judge the compares, in the order in which `_run` needs them."""
        return iter(list(self._judged(request)))

    def _judged(self, request: pb.TxnRequest) -> Iterator[bool]:
        succeeded = all(holds(one, self.database.select(one.key, one.range_end)) for one in request.compare)
        yield succeeded
        for operation in request.success if succeeded else request.failure:
            if operation.HasField("request_txn"):
                yield from self._judged(operation.request_txn)

    def _run(self, request: pb.TxnRequest, paths: Iterator[bool]) -> pb.TxnResponse:
        succeeded = next(paths)
        branch = request.success if succeeded else request.failure
        return pb.TxnResponse(
            succeeded=succeeded, responses=[self._operation(operation, paths) for operation in branch]
        )

    def _operation(self, operation: pb.RequestOp, paths: Iterator[bool]) -> pb.ResponseOp:
        match operation.WhichOneof("request"):
            case "request_range":
                return pb.ResponseOp(response_range=self.range(operation.request_range))
            case "request_put":
                return pb.ResponseOp(response_put=self.put(operation.request_put))
            case "request_delete_range":
                return pb.ResponseOp(response_delete_range=self.delete(operation.request_delete_range))
            case _:
                nested = self._run(operation.request_txn, paths)
                nested.header.CopyFrom(self.header())
                return pb.ResponseOp(response_txn=nested)

    def compact(self, revision: int) -> pb.CompactionResponse:
        """Forget the history before a revision."""
        if revision <= self.state.compacted:
            raise Refusal(RefusalReason.COMPACTED)
        if revision > self.state.revision:
            raise Refusal(RefusalReason.FUTURE_REVISION)
        self.database.compact(revision)
        self.compacted = revision
        return pb.CompactionResponse(header=self.header())

    def grant(self, lease: LeaseRow) -> None:
        """Write a new lease."""
        if self.database.has_lease(lease.id):
            raise Refusal(RefusalReason.LEASE_EXISTS)
        self.database.write_lease(lease)

    def record(self, leases: Iterable[LeaseRow]) -> None:
        """Write how much time leases have left; those that ended meanwhile stay ended."""
        for lease in leases:
            if self.database.has_lease(lease.id):
                self.database.write_lease(lease)

    def revoke(self, lease_id: int) -> None:
        """End a lease, and delete its keys with it."""
        if not self.database.has_lease(lease_id):
            raise Refusal(RefusalReason.LEASE_NOT_FOUND)
        bound = self.database.lease_keys(lease_id)
        self._delete(kv for key in bound if (kv := self.database.get(key)) is not None)
        self.database.remove_lease(lease_id)


def header(state: StoreState, revision: int) -> pb.ResponseHeader:
    """Return the header of an answer. The generation is what etcd calls the term: one more, and older ones are over."""
    return pb.ResponseHeader(
        cluster_id=state.cluster_id,
        member_id=state.member_id,
        revision=revision,
        raft_term=state.generation,
    )
