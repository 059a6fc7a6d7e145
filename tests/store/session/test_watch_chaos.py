"""A mirror of a three-member etcd under faults drawn at random, and what it holds after the calm."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from flanpy.errors import StoreError
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.watch import PrefixWatch, WatchPace
from tests.etcd_server import EtcdCluster
from tests.store.session.test_watch import Mirror, news, write_anyhow

pytestmark = pytest.mark.etcd

KEYS = 40
WRITES = 100
FAULTS = ("kill", "stop", "freeze", "compact", "kill_all")


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", [1, 2])
async def test_p23_p24_mirror_equals_etcd_after_any_faults_and_a_calm(seed: int) -> None:
    chance = random.Random(seed)
    with EtcdCluster.started(members=3) as etcd:
        pace = WatchPace(silence=0.5, answer=0.5, first_delay=0.02, longest_delay=0.2)
        async with EtcdSession(etcd.settings(timeout=1.0), pace=pace) as session:
            watch = session.watch("/w/")
            mirror = Mirror()
            calm, enough, moved = asyncio.Event(), asyncio.Event(), asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(keep_writing(etcd, random.Random(seed), calm, enough))
                follower = tasks.create_task(keep_following(watch, mirror, moved))
                for _ in range(8):
                    await asyncio.to_thread(hurt, etcd, chance)
                async with asyncio.timeout(
                    30
                ):  # a machine that stands still lets few writes through meanwhile
                    await enough.wait()
                calm.set()
                await until_level(mirror, await write_anyhow(etcd, "end"), moved)
                follower.cancel()
            listed = await session.list("/w/")
            assert mirror.keys == {kv.key: kv for kv in listed.items}
            assert len(mirror.keys) > KEYS / 4, "something was written"


def hurt(etcd: EtcdCluster, chance: random.Random) -> None:
    """One fault, and its repair."""
    fault = chance.choice(FAULTS)
    member = chance.choice(etcd.members)
    match fault:
        case "kill":
            member.kill()
        case "stop":
            member.stop()
        case "freeze":
            member.freeze()
            time.sleep(chance.uniform(0.5, 2.0))
            member.thaw()
        case "compact":
            etcd.compact()
        case "kill_all":
            etcd.kill()
    etcd.start()


async def keep_writing(
    etcd: EtcdCluster, chance: random.Random, calm: asyncio.Event, enough: asyncio.Event
) -> None:
    """Put and delete keys until the calm; failures are part of it. WRITES that succeed are `enough`."""
    written = 0
    async with EtcdSession(etcd.settings(timeout=0.5)) as session:
        while not calm.is_set():
            key = f"/w/{chance.randrange(KEYS)}"
            try:
                if chance.random() < 0.3:
                    await session.delete(key)
                else:
                    await session.put(key, chance.randbytes(8))
                written += 1
            except StoreError:
                pass
            if written >= WRITES:
                enough.set()
            await asyncio.sleep(0.01)


async def keep_following(watch: PrefixWatch, mirror: Mirror, moved: asyncio.Event) -> None:
    while True:
        mirror.take(await news(watch))
        moved.set()


async def until_level(mirror: Mirror, revision: int, moved: asyncio.Event) -> None:
    async with asyncio.timeout(30):
        while mirror.revision < revision:
            moved.clear()
            await moved.wait()
