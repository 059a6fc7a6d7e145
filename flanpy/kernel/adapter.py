"""The real kernel: the `Kernel` port over netlink, ioctl and /proc/sys.

Owns the translation of operations into requests, and of refusals into failures. Neighbours, FDB entries and routes
go out in large batches, the few others one by one. Must not: decide what should exist, or retry.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from flanpy.errors import KernelError
from flanpy.kernel import dumps, entries
from flanpy.kernel.ethtool import Ethtool
from flanpy.kernel.link_port import LinkPort
from flanpy.kernel.port import OpFailure
from flanpy.kernel.readback import read_back
from flanpy.kernel.recall import Recall
from flanpy.kernel.request import (
    SEND_MESSAGES,
    RequestSocket,
    SocketFactory,
    SocketUnusable,
    Written,
    open_netlink,
)
from flanpy.kernel.sysctl import ProcSysctls, Sysctls, path_of
from flanpy.model.ipip import IpipLink
from flanpy.model.objects import (
    Address,
    Blackhole,
    BridgePort,
    FdbEntry,
    FloodEntry,
    HostSysctl,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    LocalRoute,
    Neighbour,
    OtherLink,
    OtherRoute,
    Route,
    Setting,
    TunLink,
    VxlanLink,
)
from flanpy.model.ops import Delete, Objects, Op, Put, Scope
from flanpy.model.wireguard import WireguardLink
from flanpy.netlink import numbers, rtnl
from flanpy.netlink.framing import KernelRefusal
from flanpy.plan.render import render

_ABSENT = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL})
_Entry = Neighbour | FdbEntry | FloodEntry | Route | Blackhole | LocalRoute | OtherRoute
_LINKLESS = Blackhole | LocalRoute | OtherRoute


class NetlinkKernel:
    """The kernel over netlink. Make it in a running event loop."""

    def __init__(
        self,
        *,
        open_socket: SocketFactory = open_netlink,
        ethtool: Ethtool | None = None,
        sysctls: Sysctls | None = None,
    ) -> None:
        self._requests = RequestSocket(open_socket())
        self._ethtool = ethtool or Ethtool()
        self._sysctls = sysctls or ProcSysctls()
        self._links = LinkPort(self._requests)
        self._recall = Recall()

    @property
    def port(self) -> int:
        """Return the netlink port id that events of our changes have."""
        return self._requests.port

    def tell(
        self, on_written: Written, before_writing: Callable[[], None], on_undone: Callable[[], None]
    ) -> None:
        """Register the callbacks around each change, by which a Monitor tells our own changes from others'.

        The last one is called when a setting was found altered right after it was written.
        """
        self._requests.on_written = on_written
        self._requests.before_writing = before_writing
        self._requests.on_undone = on_undone

    def close(self) -> None:
        self._requests.close()
        self._ethtool.close()

    async def read_back(self, scope: Scope) -> Objects:
        recall = Recall()
        objects = await read_back(self._requests, scope, old=self._recall, new=recall)
        self._recall = recall
        for setting in scope.settings:
            if (present := self._setting(setting)) is not None:
                objects[present.key] = present
        return objects

    def _setting(self, setting: Setting) -> Setting | None:
        match setting:
            case LinkFeature(link, feature):
                enabled = self._ethtool.enabled(link, feature)
                return None if enabled is None else LinkFeature(link, feature, enabled)
            case LinkSysctl(family, link, name):
                value = self._sysctls.read(path_of(setting))
                return None if value is None else LinkSysctl(family, link, name, value)
            case HostSysctl(name):
                value = self._sysctls.read(path_of(setting))
                return None if value is None else HostSysctl(name, value)

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        failures: list[OpFailure] = []
        for are_entries, run in groupby(ops, key=lambda op: isinstance(op.obj, _Entry)):
            if are_entries:
                failures += await self._apply_entries(list(run))
            else:
                failures += await self._apply_singly(run)
        return tuple(failures)

    # neighbours, FDB entries, routes

    async def _apply_entries(self, ops: Sequence[Op]) -> list[OpFailure]:
        indices = await self._indices(ops)
        failures: list[OpFailure] = []
        for first in range(
            0, len(ops), SEND_MESSAGES
        ):  # packed as they go: 30,000 at once would hold the loop
            if first:
                await asyncio.sleep(0)
            failures += await self._apply_part(ops[first : first + SEND_MESSAGES], indices)
        return failures

    async def _apply_part(self, ops: Sequence[Op], indices: Mapping[str, int | None]) -> list[OpFailure]:
        batch: list[bytearray] = []
        sent: list[Op] = []
        failures: list[OpFailure] = []
        for op in ops:
            index = 0 if isinstance(op.obj, _LINKLESS) else indices[op.obj.link]  # type: ignore[union-attr]
            if index is not None:
                way = _in_the_way(op)
                if way is not None and (of_way := indices[way.link]) is not None:
                    batch.append(_deletion(way, of_way))
                    sent.append(Delete(way))
                batch.append(_message(op, index))
                sent.append(op)
            elif isinstance(op, Put):
                failures.append(_failure(op, KernelRefusal(errno.ENODEV)))
        outcome = await self._requests.change(batch)
        for op, refusal in zip(sent, outcome, strict=True):
            if refusal is None:
                if isinstance(op, Put):
                    self._recall.remember(op.obj)
            elif isinstance(op, Put):
                failure = await self._second_try(op, refusal, indices)
                failures += [failure] if failure else []
            elif refusal.errno not in _ABSENT:
                failures.append(_failure(op, refusal))
        return failures

    async def _indices(self, ops: Iterable[Op]) -> Mapping[str, int | None]:
        names = {op.obj.link for op in ops if not isinstance(op.obj, _LINKLESS)}  # type: ignore[union-attr]
        names |= {way.link for op in ops if (way := _in_the_way(op)) is not None}
        return {name: await self._links.index_of(name) for name in names}

    async def _second_try(
        self, op: Put, refusal: KernelRefusal, indices: Mapping[str, int | None]
    ) -> OpFailure | None:
        """Replace an entry that the kernel made by itself (a failed resolution, a learned MAC), which has no owner."""
        obj = op.obj
        if refusal.errno != errno.EEXIST or not isinstance(obj, Neighbour | FdbEntry):
            return _failure(op, refusal)
        index = indices[obj.link] or 0
        question = (
            entries.neighbour_question(index, obj.address)
            if isinstance(obj, Neighbour)
            else entries.fdb_question(index, obj.mac.packed)
        )
        found = await self._requests.ask(question)
        if isinstance(found, KernelRefusal) or dumps.permanent(found):
            return _failure(op, refusal)
        (again,) = await self._requests.change([_message(Put(obj, obj), index)])
        if again is None:
            self._recall.remember(obj)
        return None if again is None else _failure(op, again)

    # links, addresses, settings

    async def _apply_singly(self, ops: Iterable[Op]) -> list[OpFailure]:
        failures = []
        for op in ops:
            try:
                await self._apply_one(op)
            except SocketUnusable:
                raise
            except KernelError as error:
                if not (isinstance(op, Delete) and error.errno in _ABSENT):
                    failures.append(OpFailure(op, error))
        return failures

    async def _apply_one(self, op: Op) -> None:  # noqa: C901, PLR0912 - one line for each kind
        match op:
            case Put(VxlanLink() as link, None):
                await self._links.create(link)
            case Put(VxlanLink() as link, VxlanLink() as previous):
                await self._links.change(link, previous)
            case Put(TunLink() as link, None):
                await self._links.create_tun(link)
            case Put(TunLink() as link, TunLink() as previous):
                await self._links.change_tun(link, previous)
            case Put(IpipLink() as link, None):
                await self._links.create_ipip(link)
            case Put(IpipLink() as link, IpipLink() as previous):
                await self._links.change_ipip(link, previous)
            case Put(WireguardLink() as link, None):
                await self._links.create_wireguard(link)
            case Put(WireguardLink() as link, WireguardLink() as previous):
                await self._links.change_wireguard(link, previous)
            case Delete((VxlanLink() | TunLink() | IpipLink() | WireguardLink() | OtherLink()) as link):
                await self._links.delete(link.name)
            case Put(LinkUp(name)):
                await self._links.set_admin_state(name, up=True)
            case Delete(LinkUp(name)):
                await self._links.set_admin_state(name, up=False)
            case Put(BridgePort(name, bridge)):
                await self._links.set_bridge(name, bridge)
            case Delete(BridgePort(name)):
                await self._links.set_bridge(name, "")
            case Put(Address() as address, previous):
                await self._links.put_address(address, replace=previous is not None)
            case Delete(Address() as address):
                await self._links.delete_address(address)
            case Put((LinkFeature() | LinkSysctl() | HostSysctl()) as setting):
                self._set(setting)
            case Delete(LinkFeature() | LinkSysctl() | HostSysctl()):
                pass  # a setting always has some value
            case _:
                raise KernelError(f"'{render(op)}' is nothing that flanpy does", errno=errno.EOPNOTSUPP)

    def _set(self, setting: Setting) -> None:
        """Set a setting. Its events have no port id, so all events queued right after are taken for the echo of our
        write.

        Another program's event may be among them, so the setting is read again.
        """
        self._requests.before_writing()
        if isinstance(setting, LinkFeature):
            self._ethtool.set(setting.link, setting.feature, enabled=setting.enabled)
        else:
            self._sysctls.write(path_of(setting), setting.value)
        self._requests.on_written(())
        if self._setting(setting) != setting:
            self._requests.on_undone()


def _message(op: Op, index: int) -> bytearray:
    """Return the message that carries out an operation on an entry."""
    if isinstance(op, Delete):
        return _deletion(op.obj, index)
    match op.obj:
        case Neighbour() as neighbour:
            return entries.neighbour(rtnl.NEWNEIGH, _put_flags(op), index, neighbour)
        case FdbEntry() as entry:
            return entries.fdb(rtnl.NEWNEIGH, _put_flags(op), index, entry)
        case FloodEntry() as entry:
            return entries.flood(rtnl.NEWNEIGH, _APPENDED, index, entry)
        case Route() as route:
            return entries.route(rtnl.NEWROUTE, _put_flags(op), index, route)
        case Blackhole() as route:
            return entries.blackhole(_put_flags(op), route)
        case LocalRoute() as route:
            return entries.local_route(_put_flags(op), route)
        case _:
            raise KernelError(f"'{render(op)}' is nothing that flanpy does", errno=errno.EOPNOTSUPP)


def _in_the_way(op: Op) -> Route | None:
    """Return the route to delete before an IPv6 route can be put in its place.

    The kernel does not replace a route without gateway by one with (both stand then), and refuses an onlink gateway
    that the present route reaches by another link.
    """
    if not (isinstance(op, Put) and isinstance(op.obj, Route) and isinstance(op.previous, Route)):
        return None
    new, old = op.obj, op.previous
    alike = (new.link, new.gateway is None) == (old.link, old.gateway is None)
    return None if alike or new.destination.version == 4 else old


def _deletion(obj: object, index: int) -> bytearray:
    match obj:
        case Neighbour() as neighbour:
            return entries.neighbour(rtnl.DELNEIGH, numbers.REQUEST, index, neighbour)
        case FdbEntry() as entry:
            return entries.fdb_without_destination(rtnl.DELNEIGH, numbers.REQUEST, index, entry.mac.packed)
        case FloodEntry() as entry:
            return entries.flood(rtnl.DELNEIGH, numbers.REQUEST, index, entry)
        case Route() as route:
            return entries.route(rtnl.DELROUTE, numbers.REQUEST, index, route)
        case (Blackhole() | LocalRoute() | OtherRoute()) as other:
            return entries.other_route_deletion(other)
        case _:
            raise TypeError(f"{obj!r} is no entry")


_NEW = numbers.REQUEST | numbers.CREATE | numbers.EXCL
_APPENDED = numbers.REQUEST | numbers.CREATE | numbers.APPEND
_CHANGE = numbers.REQUEST | numbers.CREATE | numbers.REPLACE


def _put_flags(op: Put) -> int:
    return _NEW if op.previous is None else _CHANGE


def _failure(op: Op, refusal: KernelRefusal) -> OpFailure:
    said = f": {refusal.text}" if refusal.text else ""
    return OpFailure(op, KernelError(f"the kernel refused '{render(op)}'{said}", errno=refusal.errno))
