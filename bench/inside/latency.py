"""`latency (single|burst|floor) ENDPOINT FIRST COUNT OPS`: leases put in etcd, and when their peers stand.

Runs on the watched host. Puts go out by gRPC from here; times are of the monotonic clock that all processes of a
machine share. `single`: COUNT leases, one at a time, each deleted again. `burst`: all COUNT at once, as single puts 64
at a time (OPS 0) or in transactions of OPS. `floor`: no daemon looked at; when a bare watch on etcd tells of each put.
"""

from __future__ import annotations

import asyncio
import json
import queue
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import grpc.aio

from bench.overlay import peers_from
from bench.watch import KernelWatch, delete_marks, open_events, put_marks
from flanpy.store import etcdpb as pb
from integration.etcd.api import ETCD_PREFIX
from integration.etcd.peers import Peer

DEADLINE_S = 20.0
AT_ONCE = 64
_PREFIX = f"{ETCD_PREFIX}/subnets/"
_MS = 1e6


def _stub(name: str, channel: Any) -> Any:
    return getattr(pb, f"{name}Stub")(channel)


def _key(peer: Peer) -> bytes:
    return (_PREFIX + peer.key).encode()


def _put(peer: Peer, lease: int) -> Any:
    return pb.PutRequest(key=_key(peer), value=peer.value.encode(), lease=lease)


def single(endpoint: str, peers: Sequence[Peer]) -> dict[str, list[float]]:
    """Milliseconds from just before each put was sent: to its `answer`, and to the `last` object in the kernel.

    After each twenty they are deleted again, so that the daemon's peers stay about as many. `gone` is from a deletion
    to the last object's end.
    """
    found: dict[str, list[float]] = {"answer": [], "last": [], "gone": []}
    with grpc.insecure_channel(endpoint) as channel, KernelWatch(open_events()) as watch:
        kv, lease = _stub("KV", channel), _granted(channel)
        for some in _slices(peers, 20):
            for peer in some:
                time.sleep(random.uniform(0.02, 0.04))
                wait = watch.expect(put_marks(peer))
                before = time.monotonic_ns()
                kv.Put(_put(peer, lease), timeout=DEADLINE_S)
                found["answer"].append((time.monotonic_ns() - before) / _MS)
                found["last"].append((wait(DEADLINE_S) - before) / _MS)
            found["gone"].append(_deleted(kv, watch, some[:1]))
            _deleted(kv, watch, some[1:])
    return found


def _deleted(kv: Any, watch: KernelWatch, peers: Sequence[Peer]) -> float:
    wait = watch.expect(mark for peer in peers for mark in delete_marks(peer))
    before = time.monotonic_ns()
    for peer in peers:
        kv.DeleteRange(pb.DeleteRangeRequest(key=_key(peer)), timeout=DEADLINE_S)
    return (wait(DEADLINE_S) - before) / _MS


def burst(endpoint: str, peers: Sequence[Peer], ops: int) -> dict[str, float]:
    """Milliseconds the puts took, and from the last put's answer to the last object of all in the kernel."""
    with KernelWatch(open_events()) as watch:
        wait = watch.expect(mark for peer in peers for mark in put_marks(peer))
        first, answered = asyncio.run(_put_all(endpoint, peers, ops))
        last = wait(60.0)
        wait = watch.expect(mark for peer in peers for mark in delete_marks(peer))
        asyncio.run(_delete_all(endpoint, peers))
        wait(60.0)
    return {"puts": (answered - first) / _MS, "after": (last - answered) / _MS, "whole": (last - first) / _MS}


async def _put_all(endpoint: str, peers: Sequence[Peer], ops: int) -> tuple[int, int]:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        kv = _stub("KV", channel)
        lease = (await _stub("Lease", channel).LeaseGrant(pb.LeaseGrantRequest(TTL=86_400))).ID
        turns = asyncio.Semaphore(AT_ONCE)

        async def send(some: Sequence[Peer]) -> None:
            async with turns:
                if ops:
                    puts = [pb.RequestOp(request_put=_put(peer, lease)) for peer in some]
                    await kv.Txn(pb.TxnRequest(success=puts))
                else:
                    await kv.Put(_put(some[0], lease))

        before = time.monotonic_ns()
        await asyncio.gather(*(send(some) for some in _slices(peers, ops or 1)))
        return before, time.monotonic_ns()


async def _delete_all(endpoint: str, peers: Sequence[Peer]) -> None:
    """One by one: many deletions in one revision would rightly be held back for a second listing."""
    async with grpc.aio.insecure_channel(endpoint) as channel:
        kv, turns = _stub("KV", channel), asyncio.Semaphore(AT_ONCE)

        async def send(peer: Peer) -> None:
            async with turns:
                await kv.DeleteRange(pb.DeleteRangeRequest(key=_key(peer)))

        await asyncio.gather(*(send(peer) for peer in peers))


def floor(endpoint: str, peers: Sequence[Peer]) -> list[dict[str, float]]:
    """One row a lease, in ms from before the put: its answer, and its event on a bare watch."""
    rows = []
    with grpc.insecure_channel(endpoint) as channel:
        kv, lease = _stub("KV", channel), _granted(channel)
        events: queue.SimpleQueue[tuple[bytes, int]] = queue.SimpleQueue()
        asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        asked.put(
            pb.WatchRequest(
                create_request=pb.WatchCreateRequest(
                    key=_PREFIX.encode(), range_end=_PREFIX[:-1].encode() + b"0"
                )
            )
        )
        stream = _stub("Watch", channel).Watch(iter(asked.get, None))
        next(stream)
        threading.Thread(target=_listen, args=(stream, events), daemon=True).start()
        for peer in peers:
            time.sleep(random.uniform(0.02, 0.04))
            before = time.monotonic_ns()
            kv.Put(_put(peer, lease), timeout=DEADLINE_S)
            answered = time.monotonic_ns()
            came = next(at for key, at in iter(events.get, None) if key == _key(peer))
            rows.append({"answer": (answered - before) / _MS, "event": (came - before) / _MS})
            kv.DeleteRange(pb.DeleteRangeRequest(key=_key(peer)), timeout=DEADLINE_S)
        stream.cancel()
        asked.put(None)
    return rows


def _listen(stream: Any, events: queue.SimpleQueue[tuple[bytes, int]]) -> None:
    try:
        for reply in stream:
            now = time.monotonic_ns()
            for event in reply.events:
                if event.type == pb.Event.PUT:
                    events.put((event.kv.key, now))
    except grpc.RpcError:  # cancelled at the end
        return


def _granted(channel: grpc.Channel) -> int:
    lease: int = _stub("Lease", channel).LeaseGrant(pb.LeaseGrantRequest(TTL=86_400)).ID
    return lease


def _slices(peers: Sequence[Peer], size: int) -> Iterator[Sequence[Peer]]:
    return (peers[start : start + size] for start in range(0, len(peers), size))


def main() -> None:
    way, endpoint, first, count, ops = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    peers = peers_from(first, count)
    match way:
        case "single":
            found: Any = single(endpoint, peers)
        case "burst":
            found = burst(endpoint, peers, ops)
        case _:
            found = floor(endpoint, peers)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
