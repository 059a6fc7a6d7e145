"""`readback (ours|pyroute2) PEERS LINK TURNS`: fill the kernel, then read everything back TURNS times.

Prints, for each turn, the seconds it took and the longest time for which a task that wants to run every millisecond
did not get to. Of ours, `cold` turns are by a new adapter, as at a daemon's start; `warm` ones by the same again.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from bench.inside.peers import peers
from bench.inside.program import ops_of
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.model.ops import Scope

TICK_S = 0.001
Turn = tuple[float, float]


async def timed(work: Callable[[], Awaitable[int]], expected: int) -> Turn:
    """(seconds, longest stall in seconds) of one piece of work, which must come to so many objects."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        before = time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            longest, before = max(longest, now - before - TICK_S), now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(5 * TICK_S)
    longest = 0.0
    before = time.perf_counter()
    found = await work()
    took = time.perf_counter() - before
    await asyncio.sleep(2 * TICK_S)
    ticker.cancel()
    with suppress(asyncio.CancelledError):
        await ticker
    if found < expected:
        raise SystemExit(f"read back {found} objects, not {expected}")
    return took, longest


async def by_adapter(count: int, link: str, turns: int) -> dict[str, list[Turn]]:
    await fill(count, link)
    gc.collect()
    gc.freeze()
    scope = Scope(links=frozenset({link}))
    cold, warm = [], []
    for _ in range(turns):
        kernel = NetlinkKernel()

        async def read(kernel: NetlinkKernel = kernel) -> int:
            return len(await kernel.read_back(scope))

        cold.append(await timed(read, 3 * count))
        warm.append(await timed(read, 3 * count))
        kernel.close()
        del kernel, read
        gc.collect()
    return {"cold": cold, "warm": warm}


async def by_pyroute2(count: int, link: str, turns: int) -> dict[str, list[Turn]]:
    await fill(count, link)
    from pyroute2 import AsyncIPRoute  # noqa: PLC0415 - the other side must not pay for it

    found = []
    async with AsyncIPRoute() as rt:
        (index,) = await rt.link_lookup(ifname=link)

        async def read() -> int:
            seen: list[Any] = [one async for one in await rt.route("dump", family=2, table=254)]
            seen += [one async for one in await rt.neigh("dump", family=2, ifindex=index)]
            seen += [one async for one in await rt.fdb("dump", ifindex=index)]
            return len(seen)

        for _ in range(turns):
            found.append(await timed(read, 3 * count))
            gc.collect()
    return {"cold": found}


async def fill(count: int, link: str) -> None:
    kernel = NetlinkKernel()
    failures = await kernel.apply(ops_of(peers(count, link)))
    kernel.close()
    if failures:
        raise SystemExit(f"{len(failures)} refused, first {failures[0].error}")


def main() -> None:
    way, count, link, turns = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    work = by_adapter if way == "ours" else by_pyroute2
    print(json.dumps(asyncio.run(work(count, link, turns))))


if __name__ == "__main__":
    main()
