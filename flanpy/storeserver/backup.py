"""Backups: what a file of one may be, daily ones by themselves, and a store made from one.

Owns the backups directory, the sequence of a restore, and that of a promotion, which makes a store of a member's copy.
Such a store goes on with a revision far beyond the one that clients may have seen, and with its history compacted up to
there: so each of them lists again. Its generation is one higher. The file that was there before is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from flanpy.cluster.copy import Copy
from flanpy.cluster.place import KEY as PLACE_KEY
from flanpy.cluster.place import Place
from flanpy.errors import HostError
from flanpy.files.atomic import host_error, take_name
from flanpy.files.rights import rights_of_owner
from flanpy.log import get_logger
from flanpy.store import etcdpb as pb
from flanpy.storeserver.database import PAGE_SIZE, Damaged, Database, LeaseRow, StoreState
from flanpy.storeserver.lock import FILE_NAME, locked
from flanpy.storeserver.refusal import Refusal
from flanpy.storeserver.store import Store

log = get_logger()

DAY_S: Final = 86_400.0
RETRY_S: Final = 600.0
LEASE_S: Final = 86_400
"""Seconds that leases get in a promoted store, as nobody knows how long theirs were: flannel's, and the default."""
LEAP: Final = 1_000_000_000
"""Revisions that a restored store skips: more than clients can have seen since the backup (etcd's advice)."""
_MAGIC: Final = b"SQLite format 3\0"
_DIGEST: Final = hashlib.sha256().digest_size


class Backups:
    """Daily copies beside the file."""

    def __init__(self, store: Store, *, keep: int) -> None:
        self._store = store
        self._keep = keep
        self.directory = store.path.parent / "backups"

    async def run(self) -> None:
        """Make one each day, counted from the newest there is; without end."""
        if not self._keep:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(max(0.0, self._due_in()))
            try:
                await self._make()
            except (OSError, Refusal) as error:
                log.warning("backup_failed", path=str(self.directory), error=str(error), delay=RETRY_S)
                await asyncio.sleep(RETRY_S)

    def _due_in(self) -> float:
        newest = max((path.stat().st_mtime for path in self._files()), default=0.0)
        # A clock that was set back does not put the next one off for longer than a day.
        return min(DAY_S, newest + DAY_S - time.time())

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob("store-*.db"))

    async def _make(self) -> None:
        self.directory.mkdir(mode=0o700, exist_ok=True)
        name = time.strftime("store-%Y%m%dT%H%M%SZ.db", time.gmtime())
        fresh = self.directory / f".{name}.new"
        fresh.unlink(missing_ok=True)
        await self._store.copy(fresh)
        take_name(fresh, self.directory / name)
        for old in self._files()[: -self._keep]:
            old.unlink(missing_ok=True)
        log.info("backup_made", path=str(self.directory / name), revision=self._store.state.revision)


def verified(source: Path, read: BinaryIO, directory: Path) -> Path:
    """Return a copy, in `directory`, of the database that a backup file holds, open as `read`. Raises `HostError`.

    A backup over the network ends in the SHA-256 of what comes before, as etcd's do; one of the store's own does not.
    """
    try:
        size = os.fstat(read.fileno()).st_size
        body = size - size % PAGE_SIZE
        target = directory / "store.db"
        digest = hashlib.sha256()
        with target.open("xb") as written:
            if read.read(len(_MAGIC)) != _MAGIC:
                raise HostError(f"'{source}' is no backup of flanpy-store: name a file that it wrote")
            read.seek(0)
            for _ in range(body // PAGE_SIZE):
                page = read.read(PAGE_SIZE)
                digest.update(page)
                written.write(page)
            tail = read.read()
    except OSError as error:
        raise host_error("read", source, error) from error
    if tail and tail != digest.digest():
        raise HostError(f"'{source}' is not whole: its checksum does not match; take another backup")
    if len(tail) not in {0, _DIGEST}:
        raise HostError(f"'{source}' is not whole: take another backup")
    return target


def restore(source: Path, data: Path) -> tuple[StoreState, Path | None]:
    """Put a backup in the place of the store's file. Return what it begins with, and where the old file is kept.

    Raises `HostError`, `AlreadyRunning`.

    Nothing is changed before the backup was checked. The store must not run. Root works in the directory with the
    rights of its owner: the store's user could lead each later step elsewhere by a link.
    """
    try:
        read = source.open("rb")
    except OSError as error:
        raise host_error("read", source, error) from error
    with read, rights_of_owner(data), locked(data), _beside(data) as directory:
        fresh = verified(source, read, directory)
        state = _renewed(fresh, source)
        fresh.chmod(0o600)
        kept = _keep_old(data / FILE_NAME)
        take_name(fresh, data / FILE_NAME)
    return state, kept


def found(copy: Copy, place: Place, data: Path) -> Path | None:
    """Put a store made of a member's copy into a data directory, as the one of `place`. Return where the old file is.

    Raises `HostError`, `AlreadyRunning`. Hosts keep their leases, by the ids that they know, and list again.
    """
    with rights_of_owner(data), locked(data), _beside(data) as directory:
        fresh = directory / "store.db"
        _fill(fresh, copy, place)
        fresh.chmod(0o600)
        kept = _keep_old(data / FILE_NAME)
        take_name(fresh, data / FILE_NAME)
    return kept


def _fill(path: Path, copy: Copy, place: Place) -> None:
    database = Database(path, write=True)
    try:
        revision = copy.revision + LEAP
        state = StoreState(place.cluster_id, place.member, place.generation, revision, revision)
        items = {**copy.items, PLACE_KEY: (place.encoded(), 0)}
        database.execute("BEGIN IMMEDIATE")
        for lease in {lease for _, lease in items.values() if lease}:
            database.write_lease(LeaseRow(lease, LEASE_S, float(LEASE_S)))
        for number, (key, (value, lease)) in enumerate(sorted(items.items())):
            name = key.encode("utf-8", "surrogateescape")
            kv = pb.KeyValue(
                key=name, value=value, lease=lease, version=1, create_revision=revision, mod_revision=revision
            )
            database.write(kv, number)
        database.set_state(state)
        database.execute("COMMIT")
    finally:
        database.close()
    for rest in ("-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)


@contextmanager
def _beside(data: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=".restore-", dir=data))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _renewed(path: Path, source: Path) -> StoreState:
    database = Database(path, write=True)
    try:
        database.check()
        before = database.state()
        revision = before.revision + LEAP
        state = replace(before, generation=before.generation + 1, revision=revision, compacted=revision)
        database.execute("BEGIN IMMEDIATE")
        database.compact(revision)
        database.set_state(state)
        database.execute("COMMIT")
    except Damaged:
        raise HostError(f"'{source}' is damaged: take another backup; nothing was changed") from None
    finally:
        database.close()
    for rest in ("-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)
    return state


def _keep_old(path: Path) -> Path | None:
    kept = path.with_name(f"{path.name}.replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    for rest in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + rest).rename(kept.with_name(kept.name + rest))
    return kept if os.path.lexists(kept) else None
