"""Runs the extension backend's commands, and remembers for whom they ran: its part of the kernel.

Owns the processes (no shell, flannel's environment and standard input, a deadline, no secrets of ours) and the file in
the run directory by which a restart of the daemon repeats nothing and forgets nobody; a boot empties it. What a command
did to the host cannot be read back: only that it ran. Must not decide whether a command may run.

Environment (flannel 0.28): SUBNET and PUBLIC_IP, in a dual-stack network IPV6SUBNET and PUBLIC_IPV6, and for
PostStartupCommand NETWORK; standard input is what the peer's PreStartupCommand printed, and a line end.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from flanpy.errors import HostError, KernelError
from flanpy.host import atomic
from flanpy.host.disk_work import DiskWork
from flanpy.log import get_logger
from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.lease import SubnetKey
from flanpy.model.objects import ExtensionPeer, ExtensionStart, KernelObject
from flanpy.model.world import Printed
from flanpy.plan.ops import Delete, Objects, Op, OpFailure, Put, Scope

log = get_logger()

FILE_NAME: Final = "extension.json"
DEADLINE: Final = 30.0
"""Seconds that a command may take."""

AT_ONCE: Final = 8
"""Commands that run at the same time."""

LONGEST_OUTPUT: Final = 64 * 1024
"""Bytes of PreStartupCommand's output that are published; etcd takes 1.5 MiB, and every host reads every lease."""

SAVE_PATIENCE: Final = 2.0
"""Seconds that the next commands wait until it is on disk for whom the last ones ran."""

_LARGEST_FILE: Final = 1 << 26
_LONGEST_SHOWN: Final = 300
_OURS: Final = ("FLANPYD_", "FLANNELD_", "FLANNEL_ETCD_", "NOTIFY_SOCKET", "WATCHDOG_")


class ExtensionPart:
    """Implements `kernel.composite.Part` for the extension backend's objects."""

    handles: tuple[type[KernelObject], ...] = (ExtensionStart, ExtensionPeer)

    def __init__(self, run_dir: Path, *, deadline: float = DEADLINE) -> None:
        self._path = run_dir / FILE_NAME
        self._deadline = deadline
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._disk = DiskWork[bool](self._path, done=lambda _wrote: None, failed=self._unsaved)
        self._printed, objects = _load(self._path)
        self._objects = {obj.key: obj for obj in objects}

    async def print_once(self, command: tuple[str, ...]) -> Printed:
        """What PreStartupCommand prints; it runs once a boot, and again if it is another. Raises KernelError.

        What the other commands did may have gone with what it made anew, so they run again too.
        """
        if self._printed is None or self._printed.command != command:
            output = await self._run(command, {}, "")
            self._printed = Printed(command, output)
            self._objects.clear()
            await self._save()
        return self._printed

    async def read_back(self, scope: Scope) -> Objects:
        """For whom commands ran. The scope is of links and settings, and there are none of either."""
        return dict(self._objects)

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        """Host first, then peers, several at once: a peer's commands do not depend on another's."""
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
                await self._run(start.command, _environment(start), "")
                self._objects[start.key] = start
            case Put(ExtensionPeer() as peer, previous):
                if isinstance(previous, ExtensionPeer):
                    await self._take_away(previous)
                await self._run(peer.add, _environment(peer), peer.told)
                self._objects[peer.key] = peer
            case Delete(ExtensionPeer() as peer):
                await self._take_away(peer)
            case _:
                self._objects.pop(op.obj.key, None)

    async def _take_away(self, peer: ExtensionPeer) -> None:
        await self._run(peer.remove, _environment(peer), peer.told)
        self._objects.pop(peer.key, None)

    async def _run(self, command: tuple[str, ...], environment: Mapping[str, str], stdin: str) -> str:
        """Standard output without the white space around it. Raises KernelError. No command: nothing."""
        if not command:
            return ""
        shown = " ".join(command)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**_inherited(), **environment},
                start_new_session=True,
            )
        except OSError as error:
            raise KernelError(f"cannot run {shown!r}", error.errno or errno.EIO) from error
        try:
            async with asyncio.timeout(self._deadline):
                out, err = await process.communicate(f"{stdin}\n".encode(errors="replace"))
        except TimeoutError as error:
            await _kill(process)
            raise KernelError(f"{shown!r} did not end within {self._deadline:g} s and was killed") from error
        except asyncio.CancelledError:
            await _kill(process)
            raise
        said = _shown(err) or _shown(out)
        if process.returncode:
            ended = f"{shown!r} ended with {process.returncode}"
            raise KernelError(f"{ended}: {said}" if said else ended)
        log.info("command_ended", action=shown, subnet=environment.get("SUBNET"), output=said or None)
        if len(out) > LONGEST_OUTPUT:
            raise KernelError(f"{shown!r} printed {len(out)} bytes, more than {LONGEST_OUTPUT}")
        return out.decode("utf-8", "replace").strip()

    async def _save(self) -> None:
        """Before the next commands run, unless the disk takes too long for that."""
        if self._printed is None and not self._objects and not self._path.exists():
            return
        rows = [_row(obj) for obj in self._objects.values()]
        printed = None if self._printed is None else [list(self._printed.command), self._printed.output]
        text = json.dumps({"printed": printed, "ran": rows})
        self._disk.give(lambda: atomic.write(self._path, text.encode() + b"\n", mode=0o600))
        await self._disk.settled(SAVE_PATIENCE)

    def _unsaved(self, error: HostError) -> None:
        log.warning("extension_state_unsaved", path=self._path, error=error)


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End it and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _inherited() -> dict[str, str]:
    """Our environment without our settings (the etcd password may be among them) and what systemd says to us alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def _environment(obj: ExtensionStart | ExtensionPeer) -> dict[str, str]:
    found: dict[str, str] = {}
    if obj.subnets.subnet is not None:
        found["SUBNET"] = str(obj.subnets.subnet)
    if obj.subnets.subnet6 is not None:
        found["IPV6SUBNET"] = str(obj.subnets.subnet6)
    for address in obj.public_ips:
        found["PUBLIC_IP" if address.version == 4 else "PUBLIC_IPV6"] = str(address)
    if isinstance(obj, ExtensionStart):
        for network in obj.networks:
            found["NETWORK" if network.version == 4 else "IPV6NETWORK"] = str(network)
    return found


def _shown(said: bytes) -> str:
    text = " ".join(said.decode("utf-8", "replace").split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _row(obj: KernelObject) -> dict[str, Any]:
    assert isinstance(obj, ExtensionStart | ExtensionPeer)
    row: dict[str, Any] = {
        "subnets": [str(subnet) for subnet in (obj.subnets.subnet, obj.subnets.subnet6) if subnet],
        "public_ips": [str(address) for address in obj.public_ips],
    }
    if isinstance(obj, ExtensionStart):
        return row | {"command": list(obj.command), "networks": [str(network) for network in obj.networks]}
    return row | {"told": obj.told, "add": list(obj.add), "remove": list(obj.remove)}


def _load(path: Path) -> tuple[Printed | None, tuple[ExtensionStart | ExtensionPeer, ...]]:
    """Anything odd in the file makes it empty: the commands then run again."""
    try:
        document = json.loads(atomic.read(path, _LARGEST_FILE))
        printed = document["printed"]
        objects = tuple(map(_object, document["ran"]))
        return None if printed is None else Printed(_texts(printed[0]), str(printed[1])), objects
    except FileNotFoundError:
        return None, ()
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        log.warning("extension_state_unread", path=path, error=error)
        return None, ()


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
