"""What stands in the kernel now, for a scope: one dump of links, three small ones a link, two of routes.

Must not: judge whose an object is.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TypeVar

from flanpy.errors import KernelError
from flanpy.kernel import dumps, entries, links
from flanpy.kernel.recall import Known, Recall
from flanpy.kernel.request import Parse, RequestSocket
from flanpy.model.address import Family
from flanpy.model.objects import (
    LINK_ALIAS,
    MAIN_TABLE,
    ROUTE_PROTO,
    Address,
    KernelObject,
    Key,
    LinkUp,
    OtherRoute,
    Route,
)
from flanpy.model.ops import Scope
from flanpy.netlink import rtnl

T = TypeVar("T")


async def read_back(
    requests: RequestSocket, scope: Scope, *, old: Recall, new: Recall
) -> dict[Key, KernelObject]:
    """Links of the scope with what is on them, and the main table's routes; settings are the adapter's.

    A link that vanishes while we read is no trouble but an answer: it is not there, nor is anything on it.
    """
    seen = await requests.dump(links.link_dump(), links.seen_link)
    names = {link.index: link.name for link in seen}
    objects: dict[Key, KernelObject] = {}
    for link in seen:
        if link.name in scope.links or link.alias == LINK_ALIAS:
            on_link: dict[Key, KernelObject] = {("link", link.name): links.decode(link, names)}
            if link.up:
                on_link["up", link.name] = LinkUp(link.name)
            try:
                await _read_entries(requests, link, on_link, old, new)
            except KernelError as error:
                if error.errno != errno.ENODEV:
                    raise
            else:
                objects.update(on_link)
    for family in Family:
        _add_routes(await _routes(requests, family, dumps.routes(names, old, new)), objects)
    return objects


async def _routes(requests: RequestSocket, family: Family, parse: Parse[T]) -> list[T]:
    """Of the main table; where no link was ever up the kernel has not made it yet, and says so."""
    try:
        return await requests.dump(entries.route_dump(family, MAIN_TABLE), parse)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
        return []


async def _read_entries(
    requests: RequestSocket,
    link: links.SeenLink,
    objects: dict[Key, KernelObject],
    old: Recall,
    new: Recall,
) -> None:
    for family in Family:
        for seen in await requests.dump(links.address_dump(family, link.index), links.seen_address):
            if not seen.is_link_local and seen.index == link.index:
                address = Address(link.name, seen.interface)
                objects[address.key] = address
        objects.update(
            await requests.dump(
                entries.neighbour_dump(family, link.index), dumps.neighbours(link.name, old, new)
            )
        )
    objects.update(
        await requests.dump(
            entries.neighbour_dump(rtnl.AF_BRIDGE, link.index), dumps.fdb_entries(link.name, old, new)
        )
    )


def _add_routes(found: Iterable[Known], objects: dict[Key, KernelObject]) -> None:
    """Of several routes on one key (other TOS, other source prefix) keep ours, else the last.

    Of two of ours (IPv6 lets a route without gateway stand beside one with) the one without: who put it is not us.
    """
    for key, obj in found:
        standing = objects.get(key)
        ours = isinstance(standing, Route | OtherRoute) and standing.proto == ROUTE_PROTO
        if not ours or (isinstance(obj, Route) and obj.proto == ROUTE_PROTO and obj.gateway is None):
            objects[key] = obj
