"""A program for `test_durable`: run a fixed load on a store and die by SIGKILL before the n-th statement, for every n.

    python -m tests.storeserver.crash DIRECTORY

For each n a child works in a directory of its own, which it has told each acknowledged write to; the parent reads the
file again and prints a line that is JSON: how many statements there were, and what was acknowledged but is not there.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

from flanpy.clock import SystemClock
from flanpy.store import etcdpb as pb
from flanpy.storeserver.database import Database
from flanpy.storeserver.store import Store

ROUNDS = 3


def main() -> None:
    base = Path(sys.argv[1])
    for number in count(1):
        directory = base / str(number)
        directory.mkdir()
        child = os.fork()
        if child == 0:
            _work(directory, number)
        _, status = os.waitpid(child, 0)
        lost = _lost(directory)
        died = os.WIFSIGNALED(status)
        print(json.dumps({"statements": number, "died": died, "lost": lost}))
        if not died:
            return


def _work(directory: Path, fatal: int) -> None:
    acknowledged = os.open(directory / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    statements = count(1)

    def before(_statement: str) -> None:
        if next(statements) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    async def load() -> None:
        store = Store(directory / "store.db", clock=SystemClock(), quota=1 << 30, history_s=3600)
        store._writing._connection.set_trace_callback(before)

        def done(*facts: Any) -> None:
            os.write(acknowledged, json.dumps(facts).encode() + b"\n")

        for number in range(ROUNDS):
            key = f"k{number}".encode()
            lease = await store.grant(pb.LeaseGrantRequest(TTL=1000))
            done("lease", lease.ID)
            put = await store.put(pb.PutRequest(key=key, value=b"1", lease=lease.ID))
            done("put", key.decode(), put.header.revision)
            both = await asyncio.gather(
                *(store.put(pb.PutRequest(key=b"both", value=b"%d" % one)) for one in range(2))
            )
            done("put", "both", max(one.header.revision for one in both))
            gone = await store.delete(pb.DeleteRangeRequest(key=b"both"))
            done("deleted", "both", gone.header.revision)
            await store.compact(gone.header.revision - 1)
            done("compacted", gone.header.revision - 1)
        await store.close()

    asyncio.run(load())
    os._exit(0)


def _lost(directory: Path) -> list[Any]:
    told = directory / "acknowledged"
    facts = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
    database = Database(directory / "store.db", write=True)
    database.check()
    lost = [fact for fact in facts if not _is_there(database, fact)]
    database.close()
    return lost


def _is_there(database: Database, fact: list[Any]) -> bool:
    state = database.state()
    match fact:
        case ["lease", lease_id]:
            return database.has_lease(int(lease_id))
        case ["put", key, revision]:
            kv = database.get(key.encode())
            # A later write, acknowledged or not, may have replaced or deleted it.
            return (kv is not None and kv.mod_revision >= int(revision)) or state.revision > int(revision)
        case ["deleted", key, revision]:
            kv = database.get(key.encode())
            return kv is None or kv.mod_revision > int(revision)
        case ["compacted", revision]:
            return state.compacted >= int(revision)
    raise AssertionError(fact)


if __name__ == "__main__":
    main()
