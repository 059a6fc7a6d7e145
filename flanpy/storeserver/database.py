"""The file: an SQLite database with the live keys, their history, and the leases.

Owns the tables, the statements, and the seals: a checksum over each row, compared at every read, so that a row that the
disk changed is never served. Must not decide what a request does, nor know clocks. All calls block for as long as the
disk does. A connection belongs to one thread at a time; commits are the caller's.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from flanpy.errors import FlanpyError
from flanpy.store import etcdpb as pb

FORMAT: Final = 1
PAGE_SIZE: Final = 4096
FIRST_REVISION: Final = 1
"""An etcd without a key is at revision 1."""
NEVER_COMPACTED: Final = -1
"""As etcd has it: its first compaction may name revision 0."""
APPLICATION_ID: Final = 0x666C7079
_NO_END: Final = b"\0"
_TABLES: Final = """
CREATE TABLE state (
  one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, cluster_id INTEGER NOT NULL,
  member_id INTEGER NOT NULL, generation INTEGER NOT NULL, revision INTEGER NOT NULL, compacted INTEGER NOT NULL,
  seal INTEGER NOT NULL);
CREATE TABLE live (
  key BLOB PRIMARY KEY, created INTEGER NOT NULL, revision INTEGER NOT NULL, version INTEGER NOT NULL,
  lease INTEGER NOT NULL, value BLOB NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX live_lease ON live (lease) WHERE lease != 0;
CREATE TABLE history (
  revision INTEGER NOT NULL, sub INTEGER NOT NULL, key BLOB NOT NULL, created INTEGER NOT NULL,
  version INTEGER NOT NULL, lease INTEGER NOT NULL, value BLOB NOT NULL, seal INTEGER NOT NULL,
  PRIMARY KEY (revision, sub)) WITHOUT ROWID;
CREATE UNIQUE INDEX history_key ON history (key, revision);
CREATE TABLE lease (
  id INTEGER PRIMARY KEY, granted INTEGER NOT NULL, remaining REAL NOT NULL, seal INTEGER NOT NULL);
"""
_ROW: Final = "key, created, revision, version, lease, value, seal"
_STATE_ROW: Final = "one, format, cluster_id, member_id, generation, revision, compacted, seal"
_NUMBERS: Final = struct.Struct("<qqqq")
_LEASE: Final = struct.Struct("<qqd")
_STATE: Final = struct.Struct("<qqqqqq")


class Damaged(FlanpyError):
    """The file does not hold what was written to it; the message names the file and the cure."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """The identity of the cluster and how far its history goes. `generation` counts the stores that it had."""

    cluster_id: int
    member_id: int
    generation: int
    revision: int
    compacted: int


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A lease as it is on the disk: seconds granted, and seconds that were left when it was last recorded."""

    id: int
    granted: int
    remaining: float


class Database:
    """One connection to the file."""

    def __init__(self, path: Path, *, write: bool) -> None:
        """Open the file; with `write` make it if it is not there. Raises `Damaged`, or sqlite3's errors."""
        self.path = path
        with self._damage_named():
            self._connection = self._opened(write=write)

    def _opened(self, *, write: bool) -> sqlite3.Connection:
        # Not as_uri(): since Python 3.14 it imports a module, which the store's own user may have no right to read.
        uri = f"file:{quote(os.fsencode(self.path.absolute()))}?mode={'rwc' if write else 'ro'}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
        if write:
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {16 << 20}")
            self._make_tables(connection)
        else:
            connection.execute("PRAGMA query_only = 1")
        return connection

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return
        fresh = StoreState(
            secrets.randbits(62) + 1, secrets.randbits(62) + 1, 1, FIRST_REVISION, NEVER_COMPACTED
        )
        connection.executescript(f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; {_TABLES}")
        connection.execute("INSERT INTO state VALUES (1, ?, ?, ?, ?, ?, ?, ?)", _state_row(fresh))
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection; what was not committed is lost."""
        self._connection.close()

    def execute(self, statement: str) -> None:
        """Run a statement about transactions."""
        self._connection.execute(statement)

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""
        return self._connection.in_transaction

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let several reads see one moment."""
        with self._damage_named():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise self.damaged(str(error)) from error
            raise

    def damaged(self, how: str) -> Damaged:
        """Return the error that names the file."""
        return Damaged(
            f"'{self.path}' is damaged ({how}): it is kept as it is and not served;"
            " restore a backup with flanpyctl store restore FILE"
        )

    # State

    def state(self) -> StoreState:
        """Return what the file says of itself. Raises `Damaged` if that is not ours."""
        with self._damage_named():
            try:
                row = self._connection.execute(f"SELECT {_STATE_ROW} FROM state").fetchone()  # noqa: S608
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no such table, or no such column
                    raise self.damaged(f"its state is not flanpy-store's: {error}") from error
                raise
        if row is None:
            raise self.damaged("it has no state")
        if row[1] != FORMAT:
            raise self.damaged(f"its format is {row[1]}, this flanpy-store reads {FORMAT}")
        state = StoreState(*row[2:7])
        if row[7] != _state_row(state)[-1]:
            raise self.damaged("its state does not match its seal")
        return state

    def set_state(self, state: StoreState) -> None:
        """Replace the state."""
        self._connection.execute("REPLACE INTO state VALUES (1, ?, ?, ?, ?, ?, ?, ?)", _state_row(state))

    # Keys

    def get(self, key: bytes) -> pb.KeyValue | None:
        """Return a live key."""
        row = self._connection.execute(f"SELECT {_ROW} FROM live WHERE key = ?", (key,)).fetchone()  # noqa: S608
        return None if row is None else self._kv(row)

    def select(self, key: bytes, end: bytes, *, limit: int = -1) -> list[pb.KeyValue]:
        """Return the live keys of a range, in order. An `end` of one zero byte means: no end; none: the one key."""
        where, values = _range(key, end)
        query = f"SELECT {_ROW} FROM live WHERE {where} ORDER BY key LIMIT ?"  # noqa: S608
        return list(map(self._kv, self._connection.execute(query, (*values, limit))))

    def select_at(self, key: bytes, end: bytes, revision: int) -> list[pb.KeyValue]:
        """Return the keys of a range as they were at a revision, in order."""
        where, values = _range(key, end)
        # SQLite takes the bare columns from the row that has the maximum.
        query = (
            "SELECT key, created, max(revision), version, lease, value, seal FROM history"  # noqa: S608
            f" WHERE {where} AND revision <= ? GROUP BY key HAVING version > 0 ORDER BY key"
        )
        return list(map(self._kv, self._connection.execute(query, (*values, revision))))

    def count(self, key: bytes, end: bytes) -> int:
        """Return how many live keys a range has."""
        where, values = _range(key, end)
        found = self._connection.execute(f"SELECT count(*) FROM live WHERE {where}", values)  # noqa: S608
        return int(found.fetchone()[0])

    def before(self, key: bytes, revision: int) -> pb.KeyValue | None:
        """Return a key as it was before a revision; None too if that is compacted."""
        query = f"SELECT {_ROW} FROM history WHERE key = ? AND revision < ? ORDER BY revision DESC LIMIT 1"  # noqa: S608
        row = self._connection.execute(query, (key, revision)).fetchone()
        return None if row is None or row[3] == 0 else self._kv(row)

    def changes(self, key: bytes, end: bytes, *, first: int, last: int, limit: int = -1) -> list[pb.KeyValue]:
        """Return what happened to a range from `first` to `last`, in order; a deleted key has version 0."""
        where, values = _range(key, end)
        query = (
            f"SELECT {_ROW} FROM history WHERE revision >= ? AND revision <= ? AND {where}"  # noqa: S608
            " ORDER BY revision, sub LIMIT ?"
        )
        return list(map(self._kv, self._connection.execute(query, (first, last, *values, limit))))

    def write(self, kv: pb.KeyValue, sub: int) -> None:
        """Write a key, live and into the history."""
        row = _row(kv)
        self._connection.execute("REPLACE INTO live VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._note(row, sub)

    def remove(self, key: bytes, revision: int, sub: int) -> pb.KeyValue:
        """Delete a live key; return what the history keeps of it."""
        gone = pb.KeyValue(key=key, mod_revision=revision)
        self._connection.execute("DELETE FROM live WHERE key = ?", (key,))
        self._note(_row(gone), sub)
        return gone

    def _note(self, row: tuple[Any, ...], sub: int) -> None:
        key, created, revision, version, lease, value, seal = row
        self._connection.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (revision, sub, key, created, version, lease, value, seal),
        )

    def compact(self, revision: int) -> None:
        """Forget what nobody can ask for who asks for `revision` or later."""
        self._connection.execute(
            "DELETE FROM history WHERE revision < ?1 AND (version = 0 OR EXISTS (SELECT 1 FROM history AS later"
            " WHERE later.key = history.key AND later.revision > history.revision AND later.revision <= ?1))",
            (revision,),
        )

    def _kv(self, row: tuple[Any, ...]) -> pb.KeyValue:
        key, created, revision, version, lease, value, seal = row
        if seal != _seal(key, created, revision, version, lease, value):
            raise self.damaged(f"key {key.decode(errors='replace')!r} does not match its seal")
        return pb.KeyValue(
            key=key,
            create_revision=created,
            mod_revision=revision,
            version=version,
            lease=lease,
            value=value,
        )

    # Leases

    def leases(self) -> list[LeaseRow]:
        """Return all leases."""
        with self._damage_named():
            rows = self._connection.execute("SELECT id, granted, remaining, seal FROM lease").fetchall()
        for id_, granted, remaining, seal in rows:
            if seal != zlib.crc32(_LEASE.pack(id_, granted, remaining)):
                raise self.damaged(f"lease {id_:x} does not match its seal")
        return [LeaseRow(id_, granted, remaining) for id_, granted, remaining, _ in rows]

    def has_lease(self, lease_id: int) -> bool:
        """Tell whether a lease exists."""
        return (
            self._connection.execute("SELECT 1 FROM lease WHERE id = ?", (lease_id,)).fetchone() is not None
        )

    def write_lease(self, lease: LeaseRow) -> None:
        """Write a lease, new or with another time left."""
        numbers = (lease.id, lease.granted, float(lease.remaining))
        self._connection.execute(
            "REPLACE INTO lease VALUES (?, ?, ?, ?)", (*numbers, zlib.crc32(_LEASE.pack(*numbers)))
        )

    def remove_lease(self, lease_id: int) -> None:
        """Forget a lease; its keys are the caller's."""
        self._connection.execute("DELETE FROM lease WHERE id = ?", (lease_id,))

    def lease_keys(self, lease_id: int) -> list[bytes]:
        """Return the live keys that are bound to a lease, in order."""
        # The term on 0 lets SQLite use the index, which leaves keys without a lease out.
        query = "SELECT key FROM live WHERE lease = ? AND lease != 0 ORDER BY key"
        return [row[0] for row in self._connection.execute(query, (lease_id,))]

    # The whole

    def check(self) -> None:
        """Read everything once. Raises `Damaged` for the first thing that is not as it was written."""
        with self._damage_named():
            found = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise self.damaged(str(found))
            state = self.state()
            self.leases()
            for table in ("live", "history"):
                for row in self._connection.execute(f"SELECT {_ROW} FROM {table}"):  # noqa: S608
                    if self._kv(row).mod_revision > state.revision:
                        raise self.damaged(f"revision {row[2]} is newer than its state, {state.revision}")

    def copy(self, target: Path) -> None:
        """Write all of it to a new file. Raises sqlite3's errors."""
        with closing(sqlite3.connect(target, isolation_level=None)) as copied:
            self._connection.backup(copied)

    def limit(self, size: int) -> None:
        """Let the file grow to `size` bytes; more is refused as if the disk were full."""
        self._connection.execute(f"PRAGMA max_page_count = {max(1, size // PAGE_SIZE)}")

    def sizes(self) -> tuple[int, int]:
        """Return the size of the file in bytes, and how much of it is in use."""
        pages, free = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count")
        )
        return pages * PAGE_SIZE, (pages - free) * PAGE_SIZE


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether SQLite found the file damaged."""
    return _primary(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_full(error: sqlite3.Error) -> bool:
    """Tell whether SQLite found no space, in the file system or below the file's limit."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code == sqlite3.SQLITE_IOERR_SHMSIZE or _primary(error) == sqlite3.SQLITE_FULL


def _primary(error: sqlite3.Error) -> int:
    # Errors that Python raises itself carry no code; of SQLite's codes the low byte is the primary one.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _range(key: bytes, end: bytes) -> tuple[str, tuple[bytes, ...]]:
    if not end:
        return "key = ?", (key,)
    if end == _NO_END:
        return "key >= ?", (key,)
    return "key >= ? AND key < ?", (key, end)


def _row(kv: pb.KeyValue) -> tuple[Any, ...]:
    numbers = (kv.create_revision, kv.mod_revision, kv.version, kv.lease)
    return (kv.key, *numbers, kv.value, _seal(kv.key, *numbers, kv.value))


def _seal(key: bytes, created: int, revision: int, version: int, lease: int, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key, zlib.crc32(_NUMBERS.pack(created, revision, version, lease))))


def _state_row(state: StoreState) -> tuple[int, ...]:
    numbers = (
        FORMAT,
        state.cluster_id,
        state.member_id,
        state.generation,
        state.revision,
        state.compacted,
    )
    return (*numbers, zlib.crc32(_STATE.pack(*numbers)))
