"""The owners of objects that are not ours, as far as names and numbers tell, and their removal. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flanpy.model.address import IPNetwork
from flanpy.model.objects import KernelObject, OtherRoute, Route
from flanpy.model.ops import Delete
from flanpy.plan.render import render

_DOCKER: Final = re.compile(r"br-([0-9a-f]{12})")
_PROTOCOLS: Final[Mapping[int, str]] = {
    2: "the kernel put it, for an address of that link",
    3: "somebody put it by hand, or a program without a number of its own",
    4: "it is static: see the network configuration of this host",
    9: "a router's advertisement brought it",
    11: "zebra put it",
    12: "bird put it",
    16: "DHCP brought it",
    42: "babeld put it",
    186: "BGP brought it",
    188: "OSPF brought it",
}
"""By the protocol numbers of iproute2's rt_protos."""


def owner_of_link(link: str) -> str:
    """Describe a link whose name tells whose it is; "" for others."""
    found = _DOCKER.fullmatch(link)
    if found is None:
        return "Docker's own bridge" if link == "docker0" else ""
    return f"the bridge of the Docker network with id {found[1]}"


def owner_of_route(route: Route | OtherRoute) -> str:
    """Say who put a route, as far as its link and its protocol tell; "" if they do not."""
    named = owner_of_link(route.link) if isinstance(route, Route) else ""
    if named:
        return f"{route.link} is {named}" if isinstance(route, Route) else ""
    return _PROTOCOLS.get(
        route.proto, f"a routing daemon of protocol {route.proto} put it" if route.proto else ""
    )


def removal(found: KernelObject) -> str:
    """Return the command that removes a foreign object."""
    return render(Delete(found))


def cure_of_link(link: str, network: IPNetwork | None) -> str:
    """Return the way to get a route of this link out of the overlay's range."""
    found = _DOCKER.fullmatch(link)
    if found is None:
        return "remove that route, or move the overlay to another network"
    return (
        f"remove that Docker network ('docker network ls --filter id={found[1]}' names it), and give Docker "
        f"default-address-pools outside {network or 'the overlay'} in daemon.json"
    )
