"""The files that the daemon keeps: subnet.env for Docker, the lease for a boot without etcd, the tunnel's table.

subnet.env is written once the device is up, as Docker must not get a subnet without a path to peers. It is read
after each pass that changes its content and at each change of the file, so that a lost or altered file is soon back: a
Docker that starts meanwhile would start without the overlay. What could not be written (a full disk) stays to be
written. Nothing here waits for a disk on the event loop: see `host.disk_work`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flanpy.backend import choice
from flanpy.clock import Clock
from flanpy.errors import HostError
from flanpy.files.news import FileNews
from flanpy.host import state_file, tunnel_file
from flanpy.host.disk_work import DiskWork
from flanpy.host.state_file import SavedLease
from flanpy.host.subnet_env import SubnetEnv, write
from flanpy.log import get_logger
from flanpy.model.objects import (
    KernelObject,
    TunnelPeer,
)
from flanpy.model.put_order import PutOrder
from flanpy.model.world import World
from flanpy.plan.ownership import is_of_named_network
from flanpy.reconcile.outcome import Pass

log = get_logger()

LOOK_INTERVAL = 1.0
"""Seconds between two looks at a file of which there is no news; one costs a thread and a system call."""

RARE_LOOK_INTERVAL = 15.0
"""Seconds between two looks at a file whose changes are news: some changes send no events (see `files.news`)."""

LOOKS_APART = 0.2
"""Seconds between two looks: another program that writes the file whenever we do must not keep us busy."""

CLOSE_PATIENCE = 2.0
"""Seconds that the end of the daemon waits for a disk."""

Stamp = tuple[int, int, int]
Note = Callable[[str, str], None]
"""Told (text for status, error), at most one of them not empty."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The result of a look at subnet.env; `stamp` is None after a write, so that the next look reads it."""

    env: SubnetEnv
    stamp: Stamp | None
    wrote: bool


class SubnetFile:
    """Writes subnet.env."""

    def __init__(self, path: Path, *, ip_masq: bool, note: Note) -> None:
        self._path = path
        self._ip_masq = ip_masq
        self._note = note
        self._env: SubnetEnv | None = None
        self._stamp: Stamp | None = None
        self._said = ""
        self._disk = DiskWork[_Look](path, done=self._looked, failed=self._failed)
        self._news = FileNews(path)

    def after_pass(self, outcome: Pass, mtu: int) -> None:
        """Write the file if the backend stands and the file differs."""
        if outcome.decision.desired is None or device_failed(outcome):
            return
        env = subnet_env(outcome.world, mtu, ip_masq=self._ip_masq)
        if env == self._env and self._stamp is not None and self._news.is_armed():
            return  # a pass over the leases of others; a change of the file would be news
        self._env, self._stamp = env, None
        self._look(env)

    def let_go(self) -> None:
        """Mind the file no more: the subnet in it is ours no more."""
        self._env = None

    async def watch(self, clock: Clock) -> None:
        """Look at the file when it changes, and now and then, forever."""
        with self._news.listening():
            while True:
                known = self._stamp is not None
                await self._news.wait(clock, LOOK_INTERVAL, RARE_LOOK_INTERVAL if known else LOOK_INTERVAL)
                if self._env is not None:
                    self._look(self._env)
                await clock.sleep(LOOKS_APART)

    async def close(self) -> None:
        """Wait for what is being written, but not forever."""
        await self._disk.settled(CLOSE_PATIENCE)

    def _look(self, env: SubnetEnv) -> None:
        path, stamp = self._path, self._stamp

        def look() -> _Look:
            self._news.arm()
            return _look_at(path, env, stamp)

        self._disk.give(look)

    def _looked(self, look: _Look) -> None:
        if look.env is self._env:
            self._stamp = look.stamp
        if look.wrote:
            log.info("subnet_file_written", path=self._path, subnet=look.env.subnet, mtu=look.env.mtu)
        self._say(f"{self._path}: {look.env.subnet or look.env.ipv6_subnet}, MTU {look.env.mtu}", "")

    def _failed(self, error: HostError) -> None:
        self._stamp = None
        self._say("", str(error))

    def _say(self, text: str, error: str) -> None:
        if (said := text + error) != self._said:
            self._said = said
            self._note(text, error)


def _look_at(path: Path, env: SubnetEnv, known: Stamp | None) -> _Look:
    """Write the file unless it is as it was known to be right, or is found right. Raises HostError."""
    seen = _stamp_of(path)  # before it is read: what comes in between is seen by the next look
    if known is not None and seen == known:
        return _Look(env, seen, wrote=False)
    wrote = write(path, env)
    return _Look(env, None if wrote else seen, wrote)


def _stamp_of(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


class LeaseFile:
    """Writes the lease to the state directory, of several that are given while the disk takes its time the last."""

    def __init__(self, state_dir: Path, *, note: Note) -> None:
        self._state_dir = state_dir
        self._note = note
        self._unwritten: SavedLease | None = None
        self._disk = DiskWork[SavedLease | None](
            state_dir / state_file.FILE_NAME, done=self._written, failed=lambda error: note("", str(error))
        )

    def save(self, lease: SavedLease) -> None:
        """Keep this one from now on. In a running event loop."""
        self._unwritten = lease
        self._disk.give(lambda: self._saved(lease))

    def forget(self) -> None:
        """Remove it: no lease is held. One that cannot be removed is named; at worst a boot offline stands on it."""
        self._unwritten = None
        self._disk.give(self._forgotten)

    def try_again(self) -> None:
        """Write what could not be written the last time, if anything."""
        if self._unwritten is not None and not self._disk.busy:
            self.save(self._unwritten)

    async def close(self) -> None:
        """Wait for what is being written, but not forever."""
        await self._disk.settled(CLOSE_PATIENCE)

    def _saved(self, lease: SavedLease) -> SavedLease:
        state_file.save(self._state_dir, lease)
        return lease

    def _forgotten(self) -> None:
        state_file.forget(self._state_dir)

    def _written(self, lease: SavedLease | None) -> None:
        self._note("" if lease is None else f"{self._state_dir}: {lease.key}", "")
        if self._unwritten is lease:
            self._unwritten = None


class TunnelMemory:
    """Implements `udp.ports.TableMemory` on the tunnel's file. A table that is lost costs a restart without etcd."""

    def __init__(self, run_dir: Path) -> None:
        self._file = tunnel_file.TunnelFile(run_dir)
        path = run_dir / tunnel_file.FILE_NAME
        self._disk = DiskWork[None](path, done=lambda _saved: None, failed=_tunnel_unsaved)

    def load(self) -> tuple[TunnelPeer, ...]:
        """At start, before the first pass."""
        return self._file.load()

    def save(self, peers: Iterable[TunnelPeer]) -> None:
        """It is under way when this returns."""
        table = tuple(peers)
        self._disk.give(lambda: self._file.save(table))

    async def close(self) -> None:
        """Wait for what is being written, but not forever."""
        await self._disk.settled(CLOSE_PATIENCE)


def _tunnel_unsaved(error: HostError) -> None:
    log.warning("tunnel_table_unsaved", error=error, action="a restart while etcd is away loses peers")


def subnet_env(world: World, mtu: int, *, ip_masq: bool) -> SubnetEnv:
    """Return the contents for a world that has a network and an own lease.

    Without IPv6 where that has no room: Docker could make no container on such a network.
    """
    assert world.network is not None
    assert world.own is not None
    has_room = choice.narrow(world) is None
    return SubnetEnv(
        network=world.network.network,
        subnet=world.own.key.subnet,
        ipv6_network=world.network.network6 if has_room else None,
        ipv6_subnet=world.own.key.subnet6 if has_room else None,
        mtu=mtu,
        ipmasq=ip_masq,
    )


def device_failed(outcome: Pass) -> bool:
    """Report whether a write of the backend's device failed, or another object stands in its place."""
    conflicts = outcome.decision.difference.conflicts
    failed = any(_of_device(failure.op.obj, PutOrder.TUNNEL) for failure in outcome.failures)
    return failed or any(_of_device(conflict.wanted, PutOrder.LINK_UP) for conflict in conflicts)


def _of_device(obj: KernelObject, last: PutOrder) -> bool:
    """Report whether the flat overlay does not stand without an object of one of the phases up to `last`."""
    return obj.phase <= last and not is_of_named_network(obj)
