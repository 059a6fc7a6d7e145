"""Follows the names of a whole cluster as a daemon does; what listing and changes cost, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from flanpy.model.address import Mac
from flanpy.model.networks.names import NamedContainer, ToldNames
from flanpy.names.records import encode_names, names_key, names_prefix
from flanpy.names.view import NamesView
from flanpy.store.port import PutKey, Snapshot, Store, Txn
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.settings import EtcdSettings

PREFIX = "/bench"
NETWORKS = tuple(f"net{number}" for number in range(5))
BOXES = 10
"""Containers of one host on each network."""


def told(host: int, network: int, round_: int = 0) -> ToldNames:
    """Return what one host tells; each round has another name for its first container."""
    first = (10 << 24) + (96 + network << 16) + (host << 6)
    boxes = (
        NamedContainer(
            f"web-{host}-{box}" if box else f"db-{host}-{round_}",
            (IPv4Address(first + box + 2),),
            (f"svc{box}",),
            Mac.derived(f"{network}-{host}-{box}"),
        )
        for box in range(BOXES)
    )
    return ToldNames(NETWORKS[network], f"node-{host}", f"host-{host}", tuple(boxes))


async def fill(store: Store, hosts: int) -> None:
    """Put the records of all hosts."""
    for host in range(hosts):
        puts = (PutKey(_key(one), encode_names(one)) for one in (told(host, n) for n in range(len(NETWORKS))))
        await store.txn(Txn((), tuple(puts)))


def _key(one: ToldNames) -> str:
    return names_key(PREFIX, one.network, one.node_id)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


async def follow(store: Store, changes: int) -> dict[str, object]:
    """List everything, then follow changes that this process puts itself, one at a time."""
    view = NamesView(PREFIX, "node-0")
    view.use({name: (IPv4Network(((10 << 24) + (96 + n << 16), 16)),) for n, name in enumerate(NETWORKS)})
    before, began = _resident(), time.perf_counter()
    news = aiter(store.watch(names_prefix(PREFIX)))
    while not isinstance(found := await anext(news), Snapshot):
        pass
    view.after(found)
    listed = time.perf_counter() - began
    del found  # the listing itself goes, the view stays
    resident = _resident() - before
    took, cpu = [], []
    for number in range(changes):
        one = told(1 + number % 7, number % len(NETWORKS), time.time_ns())
        seen = view.changes
        began, used = time.perf_counter(), time.process_time()
        await store.txn(Txn((), (PutKey(_key(one), encode_names(one)),)))
        while view.changes == seen:
            view.after(await anext(news))
        took.append((time.perf_counter() - began) * 1000)
        cpu.append((time.process_time() - used) * 1000)
    names = sum(view.table.counts().values())
    return {"listed": listed, "resident": resident, "names": names, "took": took, "cpu": cpu}


async def main(url: str, way: str, count: int) -> None:
    async with EtcdSession(EtcdSettings(endpoints=(url,))) as store:
        print(json.dumps(await (fill(store, count) if way == "fill" else follow(store, count))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
