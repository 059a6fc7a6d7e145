"""Follows the list of hosts that were shut out, for the admission of leases and for this host's own lease.

An etcd that lost its past takes nothing off the list, and neither does one that is away. A host that finds itself on it
gives its lease back and idles until it is allowed again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from typing import Any

from flanpy.log import get_logger
from flanpy.model.revocation import Revocation
from flanpy.model.wireguard import fingerprint
from flanpy.store.networks.book import Kept
from flanpy.store.port import StoreSession
from flanpy.store.revocations import decode_revocations, revoked_prefix

log = get_logger()


class Revocations:
    """The list as last heard. `changed` takes all of it, `shut_out` whether this host is on it, at each change."""

    def __init__(
        self,
        session: StoreSession,
        prefix: str,
        node_id: str,
        *,
        changed: Callable[[tuple[Revocation, ...]], None],
        shut_out: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._watch = session.watch(revoked_prefix(prefix))
        self._node_id = node_id
        self._changed = changed
        self._shut_out = shut_out
        self._kept = Kept()
        self._unread: tuple[str, ...] = ()
        self._known: tuple[Revocation, ...] = ()
        self._out = False

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the coroutines to run, by task name."""
        return {"revocations_watch": self.follow()}

    async def follow(self) -> None:
        """Take etcd's events, without end."""
        async for news in self._watch:
            self._kept = self._kept.after(news)
            found, unread = decode_revocations(self._kept.items.values())
            for key in set(unread) - set(self._unread):
                log.warning("revocation_refused", key=key)
            self._unread = unread
            if found != self._known:
                self._tell(found)
            if (out := any(one.node_id == self._node_id for one in found)) != self._out:
                self._out = out
                await self._shut_out(out)

    def document(self) -> list[dict[str, Any]]:
        """Return the list for people."""
        return [
            {**asdict(one), "keys": [fingerprint(key) for key in one.keys], "name": one.name}
            for one in self._known
        ]

    def _tell(self, found: tuple[Revocation, ...]) -> None:
        for one in found:
            if one not in self._known:
                log.warning("host_revoked", node=one.node_id, peer=one.name)
        for one in self._known:
            if one not in found:
                log.info("host_allowed", node=one.node_id, peer=one.name)
        self._known = found
        self._changed(found)
