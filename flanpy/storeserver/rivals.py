"""The look for a newer store of the same cluster: where there is one, this one is over and serves nobody.

Owns the questions to the members' hosts, at each of which a store may have been promoted. Must not know how that is
done. A host that is away says nothing: what a client then takes from this store is its own expectation's to refuse.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import closing, suppress
from typing import Any, Final
from urllib.parse import urlsplit

from flanpy.cluster import records
from flanpy.cluster.talk import LONGEST, trusting
from flanpy.errors import MALFORMED
from flanpy.log import get_logger
from flanpy.store import etcdpb as pb
from flanpy.storeserver.members import SPAN
from flanpy.storeserver.refusal import Overtaken
from flanpy.storeserver.settings import StoreSettings
from flanpy.storeserver.store import Store

log = get_logger()

LOOK_S: Final = 10.0
"""Seconds between two looks."""
_PATIENCE_S: Final = 2.0


class Rivals:
    """The hosts of all members but this one, at the port at which hosts join."""

    def __init__(self, settings: StoreSettings, store: Store) -> None:
        assert settings.ca_file is not None
        self._ca = settings.ca_file.read_text()
        self._own = {listen.host for listen in settings.join_listens}
        self._port = settings.join_listens[0].port
        self._store = store

    async def run(self) -> None:
        """Look again and again. Raises `Overtaken`."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Ask all hosts at once. Raises `Overtaken` if a newer store answers at one of them."""
        context = trusting(self._ca)
        answers = await asyncio.gather(*(self._ask(host, context) for host in self._hosts()))
        for host, said in answers:
            self._compare(host, said)

    def _hosts(self) -> list[str]:
        found = self._store.range(pb.RangeRequest(key=SPAN[0], range_end=SPAN[1])).kvs
        members = (records.member_of(kv.value) for kv in found)
        return sorted({member.address for member in members if member} - self._own - {""})

    async def _ask(self, host: str, context: ssl.SSLContext) -> tuple[str, dict[str, Any]]:
        with suppress(OSError, TimeoutError, *MALFORMED):
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_connection(
                    host, self._port, ssl=context, server_hostname=host, limit=LONGEST
                )
                with closing(writer):
                    writer.write(b'{"do": "store"}\n')
                    said = json.loads(await reader.readline())
                return host, said if isinstance(said, dict) else {}
        return host, {}

    def _compare(self, host: str, said: dict[str, Any]) -> None:
        state = self._store.state
        with suppress(*MALFORMED):
            if said["cluster_id"] != state.cluster_id:
                return
            if (said["generation"], said["member"]) > (state.generation, state.member_id):
                where = next((url for url in said["endpoints"] if urlsplit(url).hostname == host), host)
                raise Overtaken(
                    f"a store of generation {said['generation']} serves this cluster at {where}, and this one is of"
                    f" generation {state.generation}: it is over and serves nobody; systemctl disable flanpy-store"
                )
