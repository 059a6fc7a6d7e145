"""This host's part in the rotation of all keys: it changes its own in its turn, one host after another.

A host that is due takes the turn by a key in etcd that ends with its etcd lease. A host that was away when it was asked
for is due when it is back. Must not: change a key itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, Final

from flanpy.clock import Clock, set_within
from flanpy.errors import FlanpyError, StoreError
from flanpy.log import get_logger
from flanpy.model.world import World
from flanpy.store.networks.book import Kept
from flanpy.store.port import DeleteKey, PutKey, StoreSession, Txn, key_absent
from flanpy.store.rotation import Rotation, decode_rotation, done_key, rotation_prefix, turn_key

log = get_logger()

TURN_S: Final = 30
"""Seconds after which the turn of a host that ended in it passes on."""

STEP_S: Final = 0.05
"""Seconds between two hosts on average: each waits a random time of so much for each host that is due."""

AGAIN_S: Final = 20.0
"""Seconds until a host whose key could not be changed tries again."""

SKEW_S: Final = 60.0
"""Seconds by which clocks may differ: a key that is so much younger than the request needs no change."""


class RotationTurns:
    """`rotate` changes this host's key and raises FlanpyError, `made_at` tells since when it stands (wall clock)."""

    def __init__(
        self,
        session: StoreSession,
        prefix: str,
        node_id: str,
        *,
        clock: Clock,
        world: Callable[[], World],
        rotate: Callable[[], Awaitable[object]],
        made_at: Callable[[], float | None],
    ) -> None:
        self._session = session
        self._prefix = prefix
        self._node_id = node_id
        self._clock = clock
        self._world = world
        self._rotate = rotate
        self._made_at = made_at
        self._rng = Random()
        self._watch = session.watch(rotation_prefix(prefix))
        self._rotation = Rotation()
        self._news = asyncio.Event()

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the coroutines to run, by task name."""
        return {"rotation_watch": self._follow(), "rotation_turns": self._take_turns()}

    async def _follow(self) -> None:
        kept = Kept()
        async for news in self._watch:
            kept = kept.after(news)
            found = decode_rotation(kept.items.values(), self._prefix)
            if found != self._rotation:
                self._rotation = found
                self._news.set()

    async def _take_turns(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            rotation = self._rotation
            if not rotation.is_due(self._node_id) or rotation.turn:
                continue  # the end of that turn is news
            if await set_within(self._news, self._clock, self._rng.uniform(0, STEP_S * self._due(rotation))):
                continue
            try:
                held = await self._turn(rotation)
            except FlanpyError as error:
                log.warning("rotation_turn_failed", error=error, delay=AGAIN_S)
                held = False
            if not held:
                await set_within(self._news, self._clock, AGAIN_S)
                self._news.set()

    def _due(self, rotation: Rotation) -> int:
        """Return how many hosts are due."""
        leases = self._world().view.leases.values()
        nodes = {lease.record.node_id for lease in leases if lease.record.wireguard_key}
        return 1 + sum(bool(node) and rotation.is_due(node) for node in nodes)

    async def _turn(self, rotation: Rotation) -> bool:
        """Change the key in a turn of our own; False if another host has it. Raises FlanpyError."""
        turn = turn_key(self._prefix)
        lease = await self._session.grant(TURN_S)
        try:
            taken = Txn((key_absent(turn),), (PutKey(turn, self._node_id.encode(), lease),))
            if not (await self._session.txn(taken)).succeeded:
                return False
            if not self._is_young(rotation):
                await self._rotate()
            done = PutKey(done_key(self._prefix, self._node_id), rotation.id.encode())
            await self._session.txn(Txn((), (done, DeleteKey(turn))))
        finally:
            await self._give_back(lease)
        return True

    async def _give_back(self, lease: int) -> None:
        """End the turn, if it did not end yet."""
        try:
            await self._session.revoke(lease)
        except StoreError as error:
            log.warning("rotation_turn_kept", error=error, delay=TURN_S)

    def _is_young(self, rotation: Rotation) -> bool:
        made = self._made_at()
        return made is not None and made > rotation.at + SKEW_S
