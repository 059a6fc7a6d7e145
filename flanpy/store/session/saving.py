"""One call that reads etcd's whole file.

Owns the stream. Must not keep what it reads: it may be larger than memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc.aio

from flanpy.errors import StoreUnavailable
from flanpy.store import etcdpb as pb
from flanpy.store.session.auth import Metadata
from flanpy.store.session.channel import Stubs


async def saved(
    stubs: Stubs, metadata: Metadata, write: Callable[[bytes], None], *, within: float
) -> pb.SnapshotResponse:
    """Hand each piece to `write`; the last answer. Raises `StoreUnavailable` if one takes longer than `within`."""
    call = stubs.maintenance.Snapshot(pb.SnapshotRequest(), metadata=metadata)
    last = pb.SnapshotResponse()
    try:
        while True:
            async with asyncio.timeout(within):
                answer = await call.read()
            if answer is grpc.aio.EOF:
                return last
            write(answer.blob)
            last = answer
    except TimeoutError as error:
        raise StoreUnavailable(f"etcd sent nothing of its file for {within:g} s: see if it hangs") from error
    finally:
        call.cancel()
