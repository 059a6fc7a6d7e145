"""WireGuard's keys, ports and peers as a part of the kernel: read back whole, written in batches, compared on a timer.

The kernel sends no news of any of it, so `watch` reads it back. Owns the secrets while the daemon runs: objects have
their public halves and digests. Must not: decide which peers should exist, or retry.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from flanpy.clock import Clock
from flanpy.errors import KernelError
from flanpy.kernel import wireguard
from flanpy.kernel.wireguard import PeerChange
from flanpy.kernel.wireguard_handover import Handover, taken_over
from flanpy.model.address import IPAddress
from flanpy.model.objects import KernelObject, Key
from flanpy.model.ops import Delete, Objects, Op, OpFailure, Put, Scope
from flanpy.model.wireguard import LINKS, STALE_S, SeenPeer, WgDevice, WgPeer
from flanpy.netlink import numbers
from flanpy.netlink.blocking import BlockingSocket, NoAnswer, Request
from flanpy.plan.render import render

READ_BACK_S: Final = 5.0
"""Seconds between two comparisons."""

_POKE_KEEPALIVE_S: Final = 25
"""Any but 0: it is taken back in the same message."""

_ABSENT: Final = frozenset({errno.ENODEV, errno.ENOENT, errno.EOPNOTSUPP, errno.ESRCH})


class WireguardPart:
    """Implements `kernel.composite.Part`. `on_moved` is called when somebody else changed a device or a peer.

    `sessions` are the peers as they were last read, with handshakes and bytes, for people.
    """

    handles: tuple[type[KernelObject], ...] = (WgDevice, WgPeer)

    def __init__(self, on_moved: Callable[[], None] = lambda: None) -> None:
        self._netlink = BlockingSocket(wireguard.GENERIC)
        self._number = 0
        self._on_moved = on_moved
        self._private: dict[str, bytes] = {}
        self._shared: dict[str, bytes] = {"": bytes(32)}
        self._endpoints: dict[Key, tuple[IPAddress, int]] = {}
        self._known: dict[Key, KernelObject] | None = None
        self.sessions: tuple[SeenPeer, ...] = ()
        self.handover = Handover(self)

    def learn(self, private: dict[str, bytes], shared: dict[str, bytes]) -> None:
        """Take the private keys by their public ones, and the pre-shared keys by their digests."""
        self._private.update(private)
        self._shared.update(shared)

    def forget(self, public: str) -> None:
        """Drop the private half of a key that no device is to have any more."""
        self._private.pop(public, None)

    def close(self) -> None:
        self._netlink.close()

    async def read_back(self, scope: Scope) -> Objects:
        self._known = self._read([link for link in LINKS.values() if link in scope.links])
        return dict(self._known)

    def private_key(self, link: str) -> bytes | None:
        """Return the private key of a device that stands; None where there is none. Raises KernelError."""
        return wireguard.read_private_key(self._bodies(link))

    def strayed(self) -> tuple[SeenPeer, ...]:
        """Return the peers that were given another endpoint than they had when they were last read."""
        return tuple(
            seen
            for seen in self.sessions
            if (given := self._endpoints.get(seen.peer.key)) is not None
            and given != (seen.peer.endpoint, seen.peer.port)
        )

    async def watch(self, clock: Clock, on_read: Callable[[], None] = lambda: None) -> None:
        """Compare again and again what stands with what was read or written last; `on_read` is called each time."""
        while True:
            await clock.sleep(READ_BACK_S)
            known = self._known
            if known and self._read({_link(obj) for obj in known.values()}) != known:
                self._known = None
                self._on_moved()
            on_read()

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        failures: list[OpFailure] = []
        for (link, of_peers), run in groupby(ops, key=lambda op: (_link(op.obj), isinstance(op.obj, WgPeer))):
            many = tuple(run)
            if of_peers:
                for at in range(0, len(many), wireguard.PEERS_A_MESSAGE):
                    failures += self._apply_peers(link, many[at : at + wireguard.PEERS_A_MESSAGE])
            else:
                failures += [failure for op in many if (failure := self._apply_device(link, op))]
        self._known = None if failures else self._with(ops)
        self.handover.begin(taken_over(ops, self.sessions, time.time()))
        return tuple(failures)

    def _with(self, ops: Iterable[Op]) -> dict[Key, KernelObject]:
        known = dict(self._known or {})
        for op in ops:
            if isinstance(op, Put):
                known[op.obj.key] = op.obj
            else:
                known.pop(op.obj.key, None)
        return known

    # reading

    def _read(self, links: Iterable[str]) -> dict[Key, KernelObject]:
        found: dict[Key, KernelObject] = {}
        sessions: list[SeenPeer] = []
        for link in links:
            device, peers = self._dump(link)
            if device is not None:
                found[device.key] = device
                found.update((seen.peer.key, self._as_written(seen)) for seen in peers)
                sessions += peers
        self.sessions = tuple(sessions)
        return found

    def _dump(self, link: str) -> tuple[WgDevice | None, list[SeenPeer]]:
        return wireguard.read_devices(link, self._bodies(link))

    # for the hand-over (wireguard_handover.Peers)

    def standing(self, link: str) -> tuple[WgDevice | None, list[SeenPeer]]:
        """Return the device and its peers as they are now. Raises KernelError."""
        return self._dump(link)

    def poke(self, peers: Sequence[WgPeer]) -> None:
        """Have each send an empty packet, and so begin a handshake. Raises KernelError."""
        for peer in peers:
            spans = (0, _POKE_KEEPALIVE_S, peer.keepalive)
            steps = [replace(peer, keepalive=seconds) for seconds in spans]
            self._write(
                peer.link, [PeerChange(one, endpoint=False, allowed=False, known=True) for one in steps]
            )

    def make_again(self, peer: WgPeer) -> None:
        """Remove the peer and add it, which forgets when it began its last handshake. Raises KernelError."""
        again = PeerChange(replace(peer, keepalive=_POKE_KEEPALIVE_S), self._shared.get(peer.psk))
        last = PeerChange(peer, endpoint=False, allowed=False, known=True)
        self._write(peer.link, [PeerChange(peer, remove=True), again, last])

    def _write(self, link: str, changes: Sequence[PeerChange]) -> None:
        self._netlink.change(Request(self._family(), numbers.REQUEST, wireguard.peer_changes(link, changes)))

    def _bodies(self, link: str) -> list[bytes]:
        """List a device; nothing where there is none, or none of WireGuard, or no WireGuard at all."""
        try:
            answers = self._netlink.dump(self._family(), wireguard.device_question(link))
        except NoAnswer:
            raise
        except KernelError as error:
            if error.errno in _ABSENT:
                return []
            raise
        return [answer.body for answer in answers]

    def _as_written(self, seen: SeenPeer) -> WgPeer:
        """Return the peer with the endpoint that we gave it, while packets of its come from elsewhere: it roamed."""
        peer = seen.peer
        given = self._endpoints.get(peer.key)
        if (
            given is None or not seen.handshake or time.time() - seen.handshake > STALE_S
        ):  # the kernel's own clock
            return peer
        return WgPeer(peer.link, peer.public_key, *given, peer.allowed, peer.psk, peer.keepalive)

    def _family(self) -> int:
        if not self._number:
            answer = self._netlink.ask(Request(wireguard.CONTROL, 0, wireguard.family_question()))
            self._number = wireguard.family_number(answer.body) if answer is not None else 0
        return self._number

    # writing

    def _apply_device(self, link: str, op: Op) -> OpFailure | None:
        if not isinstance(op, Put) or not isinstance(op.obj, WgDevice):
            return None
        private = self._private.get(op.obj.public_key)
        if private is None:
            error = KernelError(
                f"cannot set the key of {link}: the private half of {op.obj.public_key} is not here"
            )
            return OpFailure(op, error)
        failure = self._sent(op, wireguard.device_change(link, private=private, port=op.obj.port))
        former = op.previous
        if failure is None and isinstance(former, WgDevice) and former.public_key != op.obj.public_key:
            self.handover.own_changed()
        return failure

    def _apply_peers(self, link: str, ops: Sequence[Op]) -> list[OpFailure]:
        """Write them with one message; if it is refused, one by one, so that one costs none of the others."""
        failure = self._sent(ops[0], wireguard.peer_changes(link, [self._change(op) for op in ops]))
        if failure is None:
            self._remember(ops)
            return []
        if len(ops) == 1:
            absent = isinstance(ops[0], Delete) and failure.error.errno in _ABSENT
            return [] if absent else [failure]
        return [failed for op in ops for failed in self._apply_peers(link, [op])]

    def _change(self, op: Op) -> PeerChange:
        peer, previous = op.obj, getattr(op, "previous", None)
        assert isinstance(peer, WgPeer)
        if isinstance(op, Delete):
            return PeerChange(peer, remove=True)
        was = previous if isinstance(previous, WgPeer) else None
        return PeerChange(
            peer,
            psk=None if was is not None and was.psk == peer.psk else self._shared[peer.psk],
            endpoint=was is None or (was.endpoint, was.port) != (peer.endpoint, peer.port),
            allowed=was is None or was.allowed != peer.allowed,
        )

    def _remember(self, ops: Iterable[Op]) -> None:
        for op in ops:
            if isinstance(op, Delete):
                self._endpoints.pop(op.obj.key, None)
            elif isinstance(op.obj, WgPeer):
                self._endpoints[op.obj.key] = (op.obj.endpoint, op.obj.port)

    def _sent(self, op: Op, body: bytes) -> OpFailure | None:
        try:
            self._netlink.change(Request(self._family(), numbers.REQUEST, body))
        except NoAnswer:
            raise
        except KernelError as error:
            return OpFailure(
                op, KernelError(f"the kernel refused '{render(op)}': {error}", errno=error.errno)
            )
        return None


def _link(obj: KernelObject) -> str:
    assert isinstance(obj, WgDevice | WgPeer)
    return obj.link
