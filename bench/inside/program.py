"""`program (ours|pyroute2) PEERS LINK`: put peers into an empty kernel; prints the seconds that took."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Sequence

from bench.inside.peers import PeerEntries, peers
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.model.objects import ROUTE_PROTO, KernelObject
from flanpy.model.ops import Op, Put


def ops_of(several: Sequence[PeerEntries]) -> list[Op]:
    """In the order of a reconcile pass: by phase, the routes last."""
    objects: list[KernelObject] = [peer.neighbour for peer in several]
    objects += [peer.fdb for peer in several]
    objects += [peer.route for peer in several]
    return [Put(obj) for obj in objects]


async def by_adapter(several: Sequence[PeerEntries]) -> float:
    """By flanpy's kernel adapter: everything from the operations to their outcome."""
    kernel = NetlinkKernel()
    ops = ops_of(several)
    gc.collect()
    gc.freeze()  # as the daemon does after its imports
    before = time.perf_counter()
    failures = await kernel.apply(ops)
    took = time.perf_counter() - before
    if failures:
        raise SystemExit(f"{len(failures)} refused, first {failures[0].error}")
    kernel.close()
    return took


async def by_pyroute2(several: Sequence[PeerEntries], link: str) -> float:
    """By pyroute2's asynchronous interface, one request after the other."""
    from pyroute2 import AsyncIPRoute  # noqa: PLC0415 - the other side must not pay for it

    async with AsyncIPRoute() as rt:
        (index,) = await rt.link_lookup(ifname=link)
        gc.collect()
        before = time.perf_counter()
        for peer in several:
            one, fdb, route = peer.neighbour, peer.fdb, peer.route
            await rt.neigh("add", dst=str(one.address), lladdr=str(one.mac), ifindex=index, state=0x80)
            await rt.fdb("add", lladdr=str(fdb.mac), dst=str(fdb.destination), ifindex=index, state=0x80)
            await rt.route(
                "add", dst=str(route.destination), gateway=str(route.gateway), oif=index,
                flags=["onlink"], proto=ROUTE_PROTO,
            )  # fmt: skip
        return time.perf_counter() - before


def main() -> None:
    way, count, link = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    several = peers(count, link)
    print(json.dumps(asyncio.run(by_adapter(several) if way == "ours" else by_pyroute2(several, link))))


if __name__ == "__main__":
    main()
