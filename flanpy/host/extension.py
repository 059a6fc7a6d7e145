"""The extension backend's part of the kernel: runs its commands, and remembers the peers for which they ran.

Owns the file in the run directory by which a restart of the daemon repeats no command and forgets no peer; a boot
empties it. The effect of a command on the host cannot be read back: only that it ran. Must not decide whether a command
may run. Only the daemon uses it: root reads the file with `host.extension_left`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from flanpy.errors import MALFORMED, HostError, KernelError
from flanpy.files import atomic
from flanpy.host.disk_work import DiskWork
from flanpy.host.extension_run import AT_ONCE, DEADLINE, environment, run
from flanpy.log import get_logger
from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.lease import SubnetKey
from flanpy.model.objects import ExtensionPeer, ExtensionStart, KernelObject
from flanpy.model.ops import Delete, Objects, Op, OpFailure, Put, Scope
from flanpy.model.world import Printed

log = get_logger()

FILE_NAME: Final = "extension.json"
SAVE_PATIENCE: Final = 2.0
"""Seconds that the next commands wait until the disk has the peer that the last ones ran for."""

LARGEST_FILE: Final = 1 << 26

UNUSABLE: Final = (OSError, *MALFORMED)
"""What reading and parsing the file may raise."""


class ExtensionPart:
    """Implements `kernel.composite.Part` for the extension backend's objects."""

    handles: tuple[type[KernelObject], ...] = (ExtensionStart, ExtensionPeer)

    def __init__(self, run_dir: Path, *, deadline: float = DEADLINE) -> None:
        self._path = run_dir / FILE_NAME
        self._deadline = deadline
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._disk = DiskWork[bool](self._path, done=self._saved, failed=self._unsaved)
        self._printed, objects = load(self._path)
        self._objects = {obj.key: obj for obj in objects}
        self._stands = bool(objects)

    async def print_once(self, command: tuple[str, ...]) -> Printed:
        """Return the output of PreStartupCommand; it runs once per boot, and again if it is another. Raises
        KernelError.

        It may have recreated the devices that the other commands configured, so they run again too.
        """
        if self._printed is None or self._printed.command != command:
            output = await self._run(command, {}, "")
            self._printed = Printed(command, output)
            self._objects.clear()
            await self._save()
        return self._printed

    async def read_back(self, scope: Scope) -> Objects:
        """Return the peers for which commands ran. The scope is of links and settings, and there are none of either.

        A cleanup (`drain --cleanup`) has undone them all, and taken the file away.
        """
        if self._stands and not self._path.exists():
            self._printed, self._stands = None, False
            self._objects.clear()
        return dict(self._objects)

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        """Run the commands: the host's first, then peers', several at once, as they do not depend on each other."""
        failures: list[OpFailure] = []
        start = [op for op in ops if isinstance(op.obj, ExtensionStart)]
        for op in start:
            failures += filter(None, [await self._carry_out(op)])
        peers = [op for op in ops if op not in start]
        failures += filter(None, await asyncio.gather(*map(self._carry_out, peers)))
        await self._save()
        return tuple(failures)

    async def _carry_out(self, op: Op) -> OpFailure | None:
        try:
            async with self._slots:
                await self._do(op)
        except KernelError as error:
            return OpFailure(op, error)
        return None

    async def _do(self, op: Op) -> None:
        match op:
            case Put(ExtensionStart() as start):
                await self._run(start.command, environment(start), "")
                self._objects[start.key] = start
            case Put(ExtensionPeer() as peer, previous):
                if isinstance(previous, ExtensionPeer):
                    await self._take_away(previous)
                await self._run(peer.add, environment(peer), peer.told)
                self._objects[peer.key] = peer
            case Delete(ExtensionPeer() as peer):
                await self._take_away(peer)
            case _:
                self._objects.pop(op.obj.key, None)

    async def _take_away(self, peer: ExtensionPeer) -> None:
        await self._run(peer.remove, environment(peer), peer.told)
        self._objects.pop(peer.key, None)

    async def _run(self, command: tuple[str, ...], environment: Mapping[str, str], stdin: str) -> str:
        return await run(command, environment, stdin, deadline=self._deadline)

    async def _save(self) -> None:
        """Save the file before the next commands run, unless the disk takes too long for that."""
        if self._printed is None and not self._objects and not self._path.exists():
            return
        rows = [_row(obj) for obj in self._objects.values()]
        printed = None if self._printed is None else [list(self._printed.command), self._printed.output]
        text = json.dumps({"printed": printed, "ran": rows})
        self._disk.give(lambda: atomic.write(self._path, text.encode() + b"\n", mode=0o600))
        await self._disk.settled(SAVE_PATIENCE)

    def _saved(self, _wrote: bool) -> None:
        self._stands = True

    def _unsaved(self, error: HostError) -> None:
        log.warning("extension_state_unsaved", path=self._path, error=error)


def _row(obj: KernelObject) -> dict[str, Any]:
    assert isinstance(obj, ExtensionStart | ExtensionPeer)
    row: dict[str, Any] = {
        "subnets": [str(subnet) for subnet in (obj.subnets.subnet, obj.subnets.subnet6) if subnet],
        "public_ips": [str(address) for address in obj.public_ips],
    }
    if isinstance(obj, ExtensionStart):
        return row | {"command": list(obj.command), "networks": [str(network) for network in obj.networks]}
    return row | {"told": obj.told, "add": list(obj.add), "remove": list(obj.remove)}


def load(path: Path) -> tuple[Printed | None, tuple[ExtensionStart | ExtensionPeer, ...]]:
    """Read the file at `path`. Any fault in the file makes it empty: the commands then run again."""
    try:
        return parse(atomic.read(path, LARGEST_FILE))
    except FileNotFoundError:
        return None, ()
    except UNUSABLE as error:
        log.warning("extension_state_unread", path=path, error=error)
        return None, ()


def parse(text: bytes) -> tuple[Printed | None, tuple[ExtensionStart | ExtensionPeer, ...]]:
    """Parse the file's text. Raises one of UNUSABLE."""
    document = json.loads(text)
    printed = document["printed"]
    objects = tuple(map(_object, document["ran"]))
    return None if printed is None else Printed(_texts(printed[0]), str(printed[1])), objects


def _object(row: Mapping[str, Any]) -> ExtensionStart | ExtensionPeer:
    subnets = _key(_networks(row["subnets"]))
    public_ips: tuple[IPAddress, ...] = tuple(ip_address(text) for text in _texts(row["public_ips"]))
    if "command" in row:
        return ExtensionStart(_texts(row["command"]), subnets, _networks(row["networks"]), public_ips)
    return ExtensionPeer(subnets, public_ips, str(row["told"]), _texts(row["add"]), _texts(row["remove"]))


def _key(subnets: Iterable[IPNetwork]) -> SubnetKey:
    by_version: dict[int, Any] = {subnet.version: subnet for subnet in subnets}
    return SubnetKey(by_version.get(4), by_version.get(6))


def _networks(texts: object) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in _texts(texts))


def _texts(found: object) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise TypeError(f"{found!r} is no list of texts")
    return tuple(found)
