"""The present kernel objects of a scope: one dump of links, three small ones per link, two of routes.

Must not: judge the owner of an object.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from flanpy.errors import KernelError
from flanpy.kernel import dumps, entries, links
from flanpy.kernel.recall import Known, Recall
from flanpy.kernel.request import RequestSocket
from flanpy.model.address import Family
from flanpy.model.bridge import is_named_port
from flanpy.model.objects import (
    MAIN_TABLE,
    ROUTE_PROTO,
    Address,
    BridgePort,
    KernelObject,
    Key,
    LinkUp,
    OtherRoute,
    Route,
)
from flanpy.model.ops import Scope
from flanpy.model.put_order import LINK_ALIAS
from flanpy.netlink import rtnl


async def read_back(
    requests: RequestSocket, scope: Scope, *, old: Recall, new: Recall
) -> dict[Key, KernelObject]:
    """Read the links of the scope with their objects, and the main table's routes; settings are read by the adapter.

    A link that vanishes during the read is not a failure but a result: neither the link nor any object on it exists.
    """
    seen = await requests.dump(links.link_dump(), links.seen_link)
    names = {link.index: link.name for link in seen}
    objects: dict[Key, KernelObject] = {}
    for link in seen:
        if link.name in scope.links or link.alias == LINK_ALIAS:
            on_link: dict[Key, KernelObject] = {("link", link.name): links.decode(link, names)}
            if is_named_port(link.name) and (bridge := names.get(links.master_of(link))):
                on_link["port", link.name] = BridgePort(link.name, bridge)
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
        found = await requests.dump(entries.route_dump(family, MAIN_TABLE), dumps.routes(names, old, new))
        _add_routes(found, objects)
    return objects


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
    """Add routes; of several on one key (other TOS, other source prefix) keep ours, else the last.

    Of two of ours (IPv6 allows a route without gateway beside one with) keep the one without: another program put it.
    """
    for key, obj in found:
        standing = objects.get(key)
        ours = isinstance(standing, Route | OtherRoute) and standing.proto == ROUTE_PROTO
        if not ours or (isinstance(obj, Route) and obj.proto == ROUTE_PROTO and obj.gateway is None):
            objects[key] = obj
