"""Publishes this host's names to etcd, under one lease of its own.

Owns the lease and what is written. The lease is short, so that the names of a host that is gone go soon; it is granted
with the first record. In: what is to be told. Out: keys. A network whose
containers are gone is told of as empty: a key that vanishes means that a host was not heard of, not that it has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from flanpy.clock import Clock
from flanpy.errors import LeaseGone
from flanpy.model.networks.names import ToldNames
from flanpy.names.records import encode_names, names_key
from flanpy.store.port import DeleteKey, Operation, PutKey, Store, Txn

TTL_S: Final = 60
"""Seconds after which the names of a host go that was not heard of."""
KEEP_ALIVE_S: Final = 20.0
"""Seconds between two signs of life."""
MOST_AT_ONCE: Final = 64
"""Keys in one transaction; etcd takes 128."""
MOST_BYTES: Final = 1 << 20
"""Octets of values in one transaction, but for one value that is larger; etcd takes 1.5 MB."""


class Publisher:
    """Tells etcd of this host. `bring` after each change and every `KEEP_ALIVE_S`."""

    def __init__(self, store: Store, prefix: str, node_id: str, *, clock: Clock) -> None:
        self._store = store
        self._prefix = prefix
        self._node_id = node_id
        self._clock = clock
        self._lease = 0
        self._alive_at = 0.0
        self._written: dict[str, bytes] = {}
        self.writes = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys that etcd was told."""
        return tuple(self._written)

    def forget(self, key: str, value: bytes | None) -> bool:
        """Note what etcd has under a key of ours; report whether that is to be written again."""
        if key not in self._written or self._written[key] == value:
            return False
        del self._written[key]
        return True

    async def bring(self, told: Mapping[str, ToldNames]) -> bool:
        """Write what differs, and renew the lease when it is time; report whether anything was written.

        Raises StoreError; what is not known to have been written is written again the next time.
        """
        wanted = {
            names_key(self._prefix, network, self._node_id): encode_names(one)
            for network, one in told.items()
        }
        try:
            if self._lease and self._clock.monotonic() - self._alive_at >= KEEP_ALIVE_S:
                await self._store.keep_alive(self._lease)
                self._alive_at = self._clock.monotonic()
            return await self._write(wanted)
        except LeaseGone:
            self._lease = 0
            self._written.clear()
            return await self._write(wanted)

    async def _write(self, wanted: Mapping[str, bytes]) -> bool:
        gone = [DeleteKey(key) for key in self._written if key not in wanted]
        new = {key: value for key, value in wanted.items() if self._written.get(key) != value}
        if new and not self._lease:
            self._lease = await self._store.grant(TTL_S)
            self._alive_at = self._clock.monotonic()
        operations: list[Operation] = [
            *gone,
            *(PutKey(key, value, self._lease) for key, value in new.items()),
        ]
        for some in _parts(operations):
            await self._store.txn(Txn((), some))
        for one in gone:
            self._written.pop(one.key, None)
        self._written |= new
        self.writes += bool(operations)
        return bool(operations)


def _parts(operations: Iterable[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Yield the operations in transactions that etcd takes."""
    part: list[Operation] = []
    size = 0
    for one in operations:
        more = len(one.value) if isinstance(one, PutKey) else 0
        if part and (len(part) == MOST_AT_ONCE or size + more > MOST_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(one)
        size += more
    if part:
        yield tuple(part)
