"""The store as the rest of flanpy sees it: frozen values and the `Store` protocol.

Owns the vocabulary for keys, transactions, watch news and etcd leases. Must not import grpc, protobuf or etcd3, so
that pure code and fakes can use it at no cost. The real store is `etcd.EtcdSession`; `tests/fakes/etcd.py` is the
other one, and `tests/contract/test_store.py` holds both to the same behaviour.

Keys are text (flannel's are ASCII paths); bytes that are not UTF-8 come in with surrogate escapes, and so round-trip.
Every method raises `StoreError` or one of its subclasses, never anything of grpc's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from flanpy.model.address import IPAddress
from flanpy.store.endpoint import Endpoint
from flanpy.store.record import StoreStats


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as etcd holds it; `lease_id` 0 means no lease."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease_id: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """A key that was deleted (by a client or by its lease's end) at `mod_revision`."""

    key: str
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys of a prefix at `revision`, in key order. `reason` says why they were listed."""

    items: tuple[KeyValue, ...]
    revision: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """The net changes since the last news: each key at most once, in `puts` or in `deletes`."""

    puts: tuple[KeyValue, ...]
    deletes: tuple[Deletion, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The watch is alive, and nothing else changed up to `revision`. The first one after `Stale` ends it."""

    revision: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The watch is lost, once per loss: the known keys stay, but may be old. Absence of news is not deletion."""

    error: str


News = Snapshot | Delta | Progress | Stale


class CompareTarget(Enum):
    """The property of a key that a transaction compares. All numbers are 0 for a key that does not exist."""

    CREATE_REVISION = "create_revision"
    MOD_REVISION = "mod_revision"
    VERSION = "version"
    VALUE = "value"
    LEASE = "lease"


class Relation(Enum):
    """The relation of the compare."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    GREATER = ">"
    LESS = "<"


@dataclass(frozen=True, slots=True)
class Compare:
    """`key`'s `target` `relation` `operand`. A VALUE compare on an absent key is false, whatever the relation.

    With `prefix` it must hold for every key that begins with `key`, or if there is none for an absent one (etcd's
    `range_end`).
    """

    key: str
    target: CompareTarget
    operand: int | bytes
    relation: Relation = Relation.EQUAL
    prefix: bool = False


def key_absent(key: str) -> Compare:
    """Return a compare that holds while `key` does not exist."""
    return Compare(key, CompareTarget.CREATE_REVISION, 0)


def key_unchanged(seen: KeyValue) -> Compare:
    """Return a compare that holds while the key was neither written nor deleted since it was `seen`."""
    return Compare(seen.key, CompareTarget.MOD_REVISION, seen.mod_revision)


@dataclass(frozen=True, slots=True)
class PutKey:
    """Write a key; `lease_id` 0 detaches it from any lease."""

    key: str
    value: bytes
    lease_id: int = 0


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """Delete a key, or with `prefix` all keys that begin with it."""

    key: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Get:
    """Read a key, or with `prefix` all keys that begin with it."""

    key: str
    prefix: bool = False


Operation = PutKey | DeleteKey | Get


@dataclass(frozen=True, slots=True)
class Txn:
    """A transaction: if every compare holds, `success` runs, else `failure`; all of it at one revision."""

    compare: tuple[Compare, ...] = ()
    success: tuple[Operation, ...] = ()
    failure: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class TxnResult:
    """`reads` are the keys found by the `Get`s of the branch taken, in their order; absent keys add nothing.

    `revision` is the store's after the transaction: the mod_revision of what it put.
    """

    succeeded: bool
    revision: int
    reads: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class LeaseState:
    """An etcd lease: seconds granted, seconds left, and the keys attached to it."""

    granted: int
    remaining: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One member as it sees itself; `leader` 0 means it knows none, `errors` are its alarms."""

    endpoint: str
    version: str
    db_size: int
    member: int
    leader: int
    revision: int
    errors: tuple[str, ...]


class Watch(Protocol):
    """Endless news of one prefix: `Snapshot` first, then every change. One consumer; `aclose` when done."""

    def __aiter__(self) -> AsyncIterator[News]:
        """Return the news; stopping to iterate does not stop the watch, `aclose` does."""
        ...

    async def __anext__(self) -> News:
        """Return the next news. Never raises a `StoreError`: losing etcd is news (`Stale`), and so is its return."""
        ...

    def relist(self, reason: str) -> None:
        """Ask for a new `Snapshot` carrying `reason`, soon; asking twice before it comes gives one snapshot."""
        ...

    async def aclose(self) -> None:
        """End the watch and free its stream."""
        ...


class KeyStore(Protocol):
    """Keys: read, write, transactions.

    A write that raises `StoreUnavailable` may or may not have happened: read again before deciding.
    """

    async def get(self, key: str) -> KeyValue | None:
        """Return the key, or None."""
        ...

    async def list(self, prefix: str) -> Snapshot:
        """Return all keys that begin with `prefix`, at one revision."""
        ...

    async def txn(self, txn: Txn) -> TxnResult:
        """Run a transaction."""
        ...

    async def put(self, key: str, value: bytes, lease_id: int = 0) -> int:
        """Write unconditionally; return the new revision. `LeaseGone` if the lease does not exist."""
        ...

    async def delete(self, key: str) -> bool:
        """Delete unconditionally; report whether the key existed."""
        ...


class LeaseStore(Protocol):
    """etcd leases. All times are seconds; all methods but `grant` raise or handle `LeaseGone` as stated."""

    async def grant(self, ttl: int) -> int:
        """Grant a new lease of `ttl` seconds; return its id."""
        ...

    async def revoke(self, lease_id: int) -> None:
        """End a lease and delete its keys. Revoking a lease that is already gone succeeds."""
        ...

    async def keep_alive(self, lease_id: int) -> int:
        """Restart the lease's time; return the seconds left. `LeaseGone` if it ended (etcd itself answers ttl 0)."""
        ...

    async def time_to_live(self, lease_id: int) -> LeaseState:
        """Return the lease's remaining time; `LeaseGone` if it ended."""
        ...


class WatchStore(Protocol):
    """Watches."""

    def watch(self, prefix: str) -> Watch:
        """List, then follow without end."""
        ...


class Store(KeyStore, LeaseStore, WatchStore, Protocol):
    """The complete store: keys, leases and watches."""


class StoreSession(Store, Protocol):
    """A store as the daemon has it: with a place, counters and the news of this host's addresses."""

    @property
    def stats(self) -> StoreStats:
        """Return counters and outages, for the metrics."""
        ...

    @property
    def is_list(self) -> bool:
        """Report whether a list of hosts stands in for etcd."""
        ...

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the servers that it is read from; no route of the overlay may lead away from them."""
        ...

    async def server_version(self) -> str:
        """Return what the server in use says of its version: `3.5.30`, `flanpy-store 0.1.0`; "" where none serves."""
        ...

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the coroutines that must run for it, by task name."""
        ...

    def addresses_changed(self, gone: Collection[IPAddress]) -> None:
        """Take note that this host's addresses changed, and that it has these no more."""
        ...

    def reconnect(self, reason: str) -> None:
        """Leave the present connection for a new one, and list every watch again."""
        ...

    async def aclose(self) -> None:
        """End the watches and the connections."""
        ...
