"""WireGuard's keys between etcd and this host: who is revoked, whose turn it is to change, and this host's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.daemon.revocations import Revocations
from flanpy.daemon.rotation_turns import RotationTurns
from flanpy.daemon.wireguard_rotation import KeyRotation
from flanpy.host.wireguard_key import made_at
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.store.port import StoreSession


class KeysSide:
    """`shut_out` is told whether this host is revoked. `tasks` are root tasks of the daemon."""

    def __init__(
        self,
        session: StoreSession,
        settings: Settings,
        node_id: str,
        *,
        clock: Clock,
        loop: ReconcileLoop,
        rotation: KeyRotation,
        shut_out: Callable[[bool], Awaitable[None]],
    ) -> None:
        prefix = settings.etcd.prefix
        self._rotation = rotation
        self._revocations = Revocations(
            session, prefix, node_id, changed=loop.revoked_changed, shut_out=shut_out
        )
        self._turns = RotationTurns(
            session,
            prefix,
            node_id,
            clock=clock,
            world=lambda: loop.world,
            rotate=rotation.rotate,
            made_at=lambda: made_at(settings.state_dir),
        )

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the coroutines to run, by task name."""
        return {**self._revocations.tasks(), **self._turns.tasks()}

    async def document(self) -> dict[str, Any]:
        """Return this host's key and the revoked hosts, for people."""
        return {**await self._rotation.document(), "revoked": self._revocations.document()}
