"""The two files that the daemon keeps: subnet.env for Docker, and the lease for a boot without etcd.

subnet.env is written once the device stands, for Docker must not be told of a subnet that leads nowhere. It is read
after each pass and looked at every second, so that a lost or altered file is soon back: a Docker that starts meanwhile
would start without the overlay. What could not be written (a full disk) stays to be written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

from flanpy.clock import Clock
from flanpy.errors import HostError
from flanpy.host import state_file
from flanpy.host.state_file import SavedLease
from flanpy.host.subnet_env import SubnetEnv, write
from flanpy.log import get_logger
from flanpy.model.objects import Phase
from flanpy.model.world import World
from flanpy.reconcile.loop import Pass

log = get_logger()

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the file; one costs a system call."""

CLOSE_PATIENCE = 2.0
"""Seconds that the end of the daemon waits for a disk."""

Stamp = tuple[int, int, int]


class SubnetFile:
    """Writes subnet.env; `note` takes (text for status, error), one of them empty."""

    def __init__(self, path: Path, *, ip_masq: bool, note: Callable[[str, str], None]) -> None:
        self._path = path
        self._ip_masq = ip_masq
        self._note = note
        self._noted = ("", "")
        self._env: SubnetEnv | None = None
        self._stamp: Stamp | None = None

    def after_pass(self, outcome: Pass, mtu: int) -> None:
        """Write the file if the backend stands and the file differs."""
        if outcome.decision.desired is None or device_failed(outcome):
            return
        self._write(subnet_env(outcome.world, mtu, ip_masq=self._ip_masq))

    def let_go(self) -> None:
        """Mind the file no more: the subnet in it is ours no more."""
        self._env = None

    async def watch(self, clock: Clock) -> None:
        """Look at the file now and then, for ever."""
        while True:
            await clock.sleep(LOOK_INTERVAL)
            if self._env is not None and (self._stamp is None or self._stamp_now() != self._stamp):
                self._write(self._env)

    def _write(self, env: SubnetEnv) -> None:
        seen, self._env, self._stamp = self._stamp_now(), env, None
        try:
            if write(self._path, env):
                log.info("subnet_file_written", path=self._path, subnet=env.subnet, mtu=env.mtu)
            else:
                self._stamp = seen  # what was looked at before it was found right
        except HostError as error:
            self._tell("", str(error))
        else:
            self._tell(f"{self._path}: {env.subnet or env.ipv6_subnet}, MTU {env.mtu}", "")

    def _tell(self, text: str, error: str) -> None:
        """Only what is new: all conditions are judged anew for it, and it is found out after every pass."""
        if (text, error) != self._noted:
            self._noted = (text, error)
            self._note(text, error)

    def _stamp_now(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


class LeaseFile:
    """Writes the lease to the state directory; `note` takes (text for status, error), one of them empty.

    In a thread of its own, for that directory is on a disk, which may take its time: the loop goes on meanwhile, and
    the process may end. Of several leases given meanwhile only the last one is written.
    """

    def __init__(self, state_dir: Path, *, note: Callable[[str, str], None]) -> None:
        self._state_dir = state_dir
        self._note = note
        self._unwritten: SavedLease | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def save(self, lease: SavedLease) -> None:
        """Keep this one from now on. In a running event loop."""
        self._unwritten = lease
        if self._idle.is_set():
            self._idle.clear()
            arguments = (lease, asyncio.get_running_loop())
            Thread(target=self._write, args=arguments, name="lease_file", daemon=True).start()

    def forget(self) -> None:
        """Remove it: no lease is held. One that cannot be removed is named; at worst a boot offline stands on it."""
        self._unwritten = None
        try:
            state_file.forget(self._state_dir)
        except HostError as error:
            self._note("", str(error))
        else:
            self._note("", "")

    def try_again(self) -> None:
        """Write what could not be written the last time, if anything."""
        if self._unwritten is not None:
            self.save(self._unwritten)

    async def close(self) -> None:
        """Wait for what is being written, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_PATIENCE):
                while not self._idle.is_set():  # another lease may have come meanwhile
                    await self._idle.wait()

    def _write(self, lease: SavedLease, loop: asyncio.AbstractEventLoop) -> None:
        error = ""
        try:
            state_file.save(self._state_dir, lease)
        except HostError as refused:
            error = str(refused)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._written, lease, error)

    def _written(self, lease: SavedLease, error: str) -> None:
        self._idle.set()
        self._note("" if error else f"{self._state_dir}: {lease.key}", error)
        if self._unwritten is not lease:
            self.try_again()
        elif not error:
            self._unwritten = None


def subnet_env(world: World, mtu: int, *, ip_masq: bool) -> SubnetEnv:
    """The contents for a world that has a network and an own lease."""
    assert world.network is not None
    assert world.own is not None
    return SubnetEnv(
        network=world.network.network,
        subnet=world.own.key.subnet,
        ipv6_network=world.network.network6,
        ipv6_subnet=world.own.key.subnet6,
        mtu=mtu,
        ipmasq=ip_masq,
    )


def device_failed(outcome: Pass) -> bool:
    """Whether what the backend stands on does not."""
    conflicts = outcome.decision.difference.conflicts
    failed = any(failure.op.obj.phase <= Phase.TUNNEL for failure in outcome.failures)
    return failed or any(conflict.wanted.phase <= Phase.LINK_UP for conflict in conflicts)
