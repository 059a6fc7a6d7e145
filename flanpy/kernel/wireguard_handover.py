"""A peer's change of its key, followed until a session stands by the new one.

The kernel takes the new key in one message with the removal of the old, and packets wait meanwhile. But a host whose
own handshake came too early begins the next after five seconds, and if both begin at once now and then no session
stands. So a peer that has no handshake 30 ms after its key changed is poked, and 0.3 s later it is made again.
Owns the times; must not choose which peers there are.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from flanpy.clock import Clock, set_within
from flanpy.errors import KernelError
from flanpy.log import get_logger
from flanpy.model.objects import Key
from flanpy.model.ops import Delete, Op, Put
from flanpy.model.wireguard import SeenPeer, SessionState, WgDevice, WgPeer, fingerprint, session_state

log = get_logger()

POKE_S: Final = 0.03
AGAIN_S: Final = 0.3
"""Seconds from the poke until the peer is made again: a handshake through a slow link takes less."""

BOTH_S: Final = 2.0
"""Seconds for which our own change of key counts: peers follow theirs, too, and only one of two may begin again."""


class Peers(Protocol):
    """The part of the kernel that a hand-over needs."""

    def standing(self, link: str) -> tuple[WgDevice | None, list[SeenPeer]]:
        """Return the device and its peers as they are now. Raises KernelError."""

    def poke(self, peers: Sequence[WgPeer]) -> None:
        """Have each begin a handshake. Raises KernelError."""

    def make_again(self, peer: WgPeer) -> None:
        """Remove the peer and add it. Raises KernelError."""


def taken_over(ops: Iterable[Op], seen: Iterable[SeenPeer], wall: float) -> tuple[WgPeer, ...]:
    """Return the new peers that take the addresses of a removed one whose session may have lived.

    `seen` are the peers as last read: a session that had died by then waits for traffic, as it would without a change.
    """
    idle = {one.peer.key for one in seen if session_state(one, wall) is SessionState.IDLE}
    gone = {
        (op.obj.link, op.obj.allowed)
        for op in ops
        if isinstance(op, Delete) and isinstance(op.obj, WgPeer) and op.obj.key not in idle
    }
    if not gone:
        return ()
    new = (op.obj for op in ops if isinstance(op, Put) and op.previous is None)
    return tuple(peer for peer in new if isinstance(peer, WgPeer) and (peer.link, peer.allowed) in gone)


@dataclass(slots=True)
class _Awaited:
    peer: WgPeer
    due: float
    poked: bool = False


class Handover:
    """The peers whose keys changed a moment ago."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._begun: list[WgPeer] = []
        self._awaited: dict[Key, _Awaited] = {}
        self._news = asyncio.Event()
        self._own_news = False
        self._own_changed = -math.inf

    def begin(self, peers: Iterable[WgPeer]) -> None:
        """Follow these from now on."""
        self._begun += peers
        if self._begun:
            self._news.set()

    def own_changed(self) -> None:
        """Take note that our own key has changed."""
        self._own_news = True
        self._news.set()

    async def run(self, clock: Clock) -> None:
        """Follow, without end."""
        while True:
            due = min((one.due for one in self._awaited.values()), default=math.inf)
            await set_within(self._news, clock, due - clock.monotonic())
            self._news.clear()
            now = clock.monotonic()
            self._take(now)
            late = [one for one in self._awaited.values() if one.due <= now]
            for link in sorted({one.peer.link for one in late}):
                # Else the device is gone, and what stands in its place has no old sessions.
                with suppress(KernelError):
                    self._look(link, [one for one in late if one.peer.link == link], now)
            for one in late:
                if one.due <= now:
                    self._awaited.pop(one.peer.key, None)

    def _take(self, now: float) -> None:
        if self._own_news:
            self._own_news, self._own_changed = False, now
        for peer in self._begun:
            self._awaited[peer.key] = _Awaited(peer, now + POKE_S)
        self._begun = []

    def _look(self, link: str, late: Sequence[_Awaited], now: float) -> None:
        """Poke those without a handshake, and make those again that were poked."""
        device, seen = self._peers.standing(link)
        missing = {one.peer.key: one.peer for one in seen if not one.handshake}
        waiting = [one for one in late if one.peer.key in missing]
        fresh = [one for one in waiting if not one.poked]
        self._peers.poke([missing[one.peer.key] for one in fresh])
        for one in fresh:
            one.poked, one.due = True, now + AGAIN_S
        for one in waiting:
            if one.due <= now and device is not None and self._begins(device, one.peer, now):
                self._peers.make_again(missing[one.peer.key])
                log.info("wireguard_peer_made_again", peer=fingerprint(one.peer.public_key), link=link)

    def _begins(self, device: WgDevice, peer: WgPeer, now: float) -> bool:
        """Report whether we may begin again: if both keys changed, only the host with the smaller one."""
        return now - self._own_changed > BOTH_S or device.public_key < peer.public_key
