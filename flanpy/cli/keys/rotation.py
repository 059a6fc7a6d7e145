"""`flanpyctl keys rotate`: a new WireGuard key in force, on this host or on all, one after another."""

from __future__ import annotations

import asyncio
import secrets
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.cli.base.wording import natural, plural
from flanpy.errors import UsageError
from flanpy.model.lease import Lease
from flanpy.store.port import Store
from flanpy.store.rotation import decode_rotation, encode_request, request_key, rotation_prefix
from flanpy.store.schema import decode_lease, subnets_prefix

DEADLINE_S: Final = 20.0
"""The daemon gives up after five seconds, and puts the old key back."""

LOOK_S: Final = 0.3
_A_HOST_S: Final = 10.0
_FLANNELS: Final = 3


@dataclass(frozen=True, slots=True)
class _Members:
    """The hosts that have a WireGuard key: those of flanpy by node id, and flannel's subnets."""

    names: Mapping[str, str]
    flannels: tuple[str, ...]


def rotate(arguments: Namespace, host: Host) -> Exit:
    """Change this host's key. Raises ControlError with the daemon's reason: the old key is then in force."""
    if arguments.all:
        return _rotate_all(arguments, host)
    if arguments.timeout is not None:
        raise UsageError("--timeout goes with --all")
    said = host.control.post("rotate", deadline=DEADLINE_S)
    print(printable(f"this host's key is {said['key']} now; it was {said['former']}"))
    return Exit.OK


def _rotate_all(arguments: Namespace, host: Host) -> Exit:
    """Ask every host for it, and follow. FAILURE while some have not done so: they do when they are there."""
    prefix = host.effective.etcd.prefix
    waiting = with_etcd(host.effective, lambda store: _follow(store, prefix, arguments.timeout))
    if waiting:
        names = ", ".join(sorted(waiting, key=natural))
        raise CommandError(
            Exit.FAILURE,
            printable(
                f"not yet: {names}; a host that is away, or whose etcd is, changes its key when it is back"
            ),
        )
    return Exit.OK


async def _follow(store: Store, prefix: str, patience: float | None) -> tuple[str, ...]:
    """Put the request, print each host that has carried it out, and return those that have not in time."""
    members = await _members(store, prefix)
    if not members.names:
        raise CommandError(Exit.NOT_FOUND, "no host has a WireGuard key: the network's backend is another")
    if members.flannels:
        some = ", ".join(members.flannels[:_FLANNELS])
        print(
            printable(f"left as they are, hosts of flannel: {plural(len(members.flannels), 'host')} ({some})")
        )
    request = secrets.token_hex(8)
    await store.put(request_key(prefix), encode_request(request, time.time()))
    until = time.monotonic() + (patience if patience is not None else 30.0 + _A_HOST_S * len(members.names))
    waiting = dict(members.names)
    while waiting and time.monotonic() < until:
        await asyncio.sleep(LOOK_S)
        found = decode_rotation((await store.list(rotation_prefix(prefix))).items, prefix)
        if found.id != request:
            raise CommandError(Exit.CONFLICT, "another rotation of all keys was asked for meanwhile")
        for node in [node for node in waiting if found.done.get(node) == request]:
            name = waiting.pop(node)
            count = len(members.names)
            print(printable(f"{name} has a new key ({count - len(waiting)} of {count})"), flush=True)
    return tuple(waiting.values())


async def _members(store: Store, prefix: str) -> _Members:
    subnets = subnets_prefix(prefix)
    read = [decode_lease(item, subnets) for item in (await store.list(subnets)).items]
    keyed = [one for one in read if isinstance(one, Lease) and one.record.wireguard_key]
    names = {one.record.node_id: one.record.host_name or one.record.node_id for one in keyed}
    names.pop("", None)
    return _Members(names, tuple(str(one.key) for one in keyed if not one.record.node_id))
