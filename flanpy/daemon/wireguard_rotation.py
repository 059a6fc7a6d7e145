"""The change of this host's WireGuard key without a lost packet, on request and by age.

The order is what loses none: the new key is on the disk, then in the device, then in the lease, and peers take it in
one message. A daemon that is killed in between starts with the key on the disk, and brings device and lease to it. If
etcd does not take the lease the former key is put back, or no peer would have the one that the device has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

from flanpy.clock import Clock, set_within
from flanpy.config import Settings
from flanpy.errors import FlanpyError, HostError
from flanpy.host import wireguard_key
from flanpy.host.wireguard_key import KeyPair
from flanpy.kernel.wireguard_part import WireguardPart
from flanpy.log import get_logger, protect
from flanpy.model.encryption import ENCRYPTING
from flanpy.model.wireguard import WgDevice, fingerprint, written
from flanpy.model.world import Policy, World
from flanpy.reconcile.outcome import Pass

log = get_logger()

DEADLINE_S: Final = 5.0
"""Seconds that device and etcd may take. 128 packets a peer wait meanwhile."""

LOOK_S: Final = 60.0
"""Seconds between two looks at the key's age."""

EARLIEST: Final = 0.9
"""Share of the age at which the first of many hosts of one age changes its key: not all should at once."""


class KeyRotation:
    """Owns this host's key pair once it is known. `use` puts a policy in force and has the lease written by it.

    `shared_by` reports whether the other hosts hear of our lease from what we write.
    """

    def __init__(
        self,
        settings: Settings,
        part: WireguardPart,
        *,
        clock: Clock,
        world: Callable[[], World],
        use: Callable[[Policy], None],
        shared_by: Callable[[], bool],
    ) -> None:
        self._state_dir = settings.state_dir
        self._max_age = settings.wireguard_key_max_age * Random().uniform(EARLIEST, 1.0)
        self._part = part
        self._clock = clock
        self._world = world
        self._use = use
        self._shared_by = shared_by
        self._pair: KeyPair | None = None
        self._one = asyncio.Lock()
        self._passed = asyncio.Event()

    def begin(self, pair: KeyPair) -> None:
        """Take the key from now on; a lease that names another keeps it until a device has this one."""
        protect(written(pair.private))
        self._part.learn({pair.public: pair.private}, {})
        self._pair = pair
        world = self._world()
        said = world.own.record.wireguard_key if world.own is not None else ""
        self._use(
            replace(
                world.policy, wireguard_key=pair.public, wireguard_said="" if said == pair.public else said
            )
        )

    def pass_done(self, outcome: Pass) -> None:
        """Have the lease name the key that a device has now."""
        self._passed.set()
        policy = self._world().policy
        if policy.wireguard_said and _has(outcome, policy.wireguard_key):
            self._use(replace(policy, wireguard_said=""))

    async def run(self) -> None:
        """Change the key when it is too old, without end."""
        if not self._max_age:
            await asyncio.Event().wait()
        while True:
            await self._clock.sleep(min(LOOK_S, self._max_age))
            made = wireguard_key.made_at(self._state_dir)
            if made is not None and self._clock.wall() - made >= self._max_age:
                try:
                    await self.rotate()
                except FlanpyError as error:
                    log.warning("wireguard_key_kept", error=error)

    async def document(self) -> dict[str, Any]:
        """Return this host's key for people: the public half, since when it stands, and its file."""
        made = await asyncio.to_thread(wireguard_key.made_at, self._state_dir)
        return {
            "key": fingerprint(self._pair.public) if self._pair is not None else None,
            "public_key": self._pair.public if self._pair is not None else None,
            "made_at": made if self._pair is not None else None,
            "file": str(self._state_dir / wireguard_key.NAME),
        }

    async def rotate(self) -> dict[str, Any]:
        """Put a new key in force on disk, in the kernel and in the lease. Raises FlanpyError: the old one stands."""
        async with self._one:
            former = self._ready()
            new = await asyncio.to_thread(wireguard_key.replaced, self._state_dir)
            self.begin(new)
            if not await self._named(new.public):
                await asyncio.to_thread(wireguard_key.put_back, self._state_dir, former)
                self.begin(former)
                raise HostError(
                    f"the key was not changed: the lease did not name the new one within {DEADLINE_S:g} s;"
                    " see flanpyctl status for etcd and the device"
                )
            self._part.forget(former.public)
        log.info("wireguard_key_changed", key=fingerprint(new.public))
        return {"key": fingerprint(new.public), "former": fingerprint(former.public)}

    def _ready(self) -> KeyPair:
        world, pair = self._world(), self._pair
        if pair is None or world.network is None or world.network.backend_type != ENCRYPTING:
            backend = world.network.backend_type if world.network is not None else "not known yet"
            raise HostError(f"there is no WireGuard key to change: the network's backend is {backend}")
        if world.former is not None:
            raise HostError(
                "the network moves to another backend: change the key when flanpyctl status is well"
            )
        if not self._shared_by():
            raise HostError(
                "the hosts stand in a list, which no host changes: move the key file away, restart flanpyd, and write"
                " the new public key into the list"
            )
        if world.own is None or not world.own_confirmed or world.view.stale:
            raise HostError("etcd is away, or this host has no lease: peers could not learn a new key")
        return pair

    async def _named(self, public: str) -> bool:
        """Report whether our lease in etcd names the key in time."""
        until = self._clock.monotonic() + DEADLINE_S
        while True:
            world = self._world()
            own = world.own if world.own_confirmed else None
            if own is not None and own.record.wireguard_key == public:
                return True
            if self._clock.monotonic() >= until:
                return False
            self._passed.clear()
            await set_within(self._passed, self._clock, until - self._clock.monotonic())


def _has(outcome: Pass, public: str) -> bool:
    """Report whether every device has this key after the pass."""
    wanted = [obj for obj in (outcome.decision.desired or {}).values() if isinstance(obj, WgDevice)]
    failed = any(isinstance(one.op.obj, WgDevice) for one in outcome.failures)
    return not (outcome.error or failed) and any(obj.public_key == public for obj in wanted)
