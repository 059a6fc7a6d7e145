"""Moves the keys of a lab's cluster: `python -m tests.lab.moving CA CERT KEY FROM TO`, where both can be reached.

It stands for `flanpyctl store move`, which needs a host with systemd and /etc/credstore: the same function does the
work.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from flanpy.cli.cluster.move import moved
from flanpy.cluster import place
from flanpy.cluster.place import EMBEDDED, Place
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.settings import EtcdSettings


async def _settled(store: EtcdSession, urls: tuple[str, ...]) -> None:
    if await store.get(place.KEY) is None:
        head = store.head
        here = Place(number=1, kind=EMBEDDED, endpoints=urls, cluster_id=head.cluster_id, generation=head.generation,
                     member=head.member)  # fmt: skip
        await store.put(place.KEY, here.encoded())


def _settings(urls: tuple[str, ...], files: list[str]) -> EtcdSettings:
    if not urls[0].startswith("https://"):
        return EtcdSettings(urls)
    ca, certificate, key = map(Path, files)
    return EtcdSettings(urls, ca_file=ca, cert_file=certificate, key_file=key)


async def _main(files: list[str], from_: tuple[str, ...], to: tuple[str, ...]) -> None:
    async with EtcdSession(_settings(from_, files)) as old, EtcdSession(_settings(to, files)) as new:
        await _settled(old, from_)
        if from_ != to:
            done = await moved(old, new, "/coreos.com/network", "", urls=to, joins=())
            print(f"{done.keys} keys, number {done.place.number}, {done.place.kind}")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:4], tuple(sys.argv[4].split(",")), tuple(sys.argv[5].split(","))))
