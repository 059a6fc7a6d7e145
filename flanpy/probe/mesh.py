"""The mesh: the rows of many hosts, put together on request. Asks few hosts at once, and not often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from flanpy.clock import Clock
from flanpy.model.address import IPAddress
from flanpy.probe.exchange import ask
from flanpy.probe.rows import Document, mesh_rows, told_of

AT_ONCE: Final = 8
MOST_NODES: Final = 64
"""The most hosts asked: a picture of more is unreadable."""

FRESH_S: Final = 2.0
"""For so long the last answer is given again: many may look at once."""


@dataclass(frozen=True, slots=True)
class Node:
    """One host. `name` is its node id, or its subnet where it has none; `address` None for ourselves.

    `host` is its name for people.
    """

    name: str
    subnet: str
    address: IPAddress | None = None
    host: str = ""

    def as_json(self) -> Document:
        """Return the node as the mesh has it."""
        return {"node_id": self.name, "host": self.host or self.name, "subnet": self.subnet}


Ask = Callable[[IPAddress, int, str], Awaitable[dict[str, Any] | None]]


class Mesh:
    """`nodes` gives all hosts, ourselves first, `own` our own document, `token` our proof that we may ask."""

    def __init__(
        self,
        *,
        clock: Clock,
        port: int,
        nodes: Callable[[], Sequence[Node]],
        own: Callable[[], Document],
        token: Callable[[], str],
        ask: Ask = ask,
    ) -> None:
        self._clock = clock
        self._port = port
        self._nodes = nodes
        self._own = own
        self._token = token
        self._ask = ask
        self._turn = asyncio.Lock()
        self._last: tuple[float, Document] | None = None
        self._refresh: asyncio.Task[Document] | None = None

    async def document(self) -> Document:
        """Answer `GET /v1/mesh`: nodes, and a row for each pair that a host reported."""
        async with self._turn:
            now = self._clock.monotonic()
            if self._last is None or now - self._last[0] > FRESH_S:
                self._last = (self._clock.monotonic(), await self._collect())
            return self._last[1]

    def recent(self) -> Document | None:
        """Return the last document at once, None before the first; a stale one starts a new collection meanwhile."""
        stale = self._last is None or self._clock.monotonic() - self._last[0] > FRESH_S
        if stale and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self.document())
        return self._last[1] if self._last is not None else None

    async def _collect(self) -> Document:
        nodes = self._nodes()
        names = {node.subnet: node.name for node in nodes}
        asked = [node for node in nodes if node.address is not None] if self._port else []
        if len(asked) > MOST_NODES:
            asked = Random().sample(asked, MOST_NODES)
        documents = {node.name: self._own() for node in nodes[:1] if node.address is None}
        room = asyncio.Semaphore(AT_ONCE)
        for node, told in zip(asked, await asyncio.gather(*(self._of(n, room) for n in asked)), strict=True):
            if told is not None:
                documents[node.name] = told
        rows = [row for name, told in documents.items() for row in mesh_rows(told, sender=name, names=names)]
        told_by = {name: told_of(document) for name, document in documents.items()}
        return {"nodes": [_node(node, told_by.get(node.name)) for node in nodes], "rows": rows}

    async def _of(self, node: Node, room: asyncio.Semaphore) -> Document | None:
        async with room:
            assert node.address is not None
            return await self._ask(node.address, self._port, self._token())


def _node(node: Node, told: Document | None) -> Document:
    return {**node.as_json(), **({"told": told} if told is not None else {})}
