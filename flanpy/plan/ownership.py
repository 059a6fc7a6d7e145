"""Ownership of kernel objects. Only our own may ever be changed or deleted.

A link is ours by name *and* kind: it has our alias, or it is an unmarked VXLAN device that flannel left under
flannel's name for its VNI, or its IPIP or WireGuard device (then we adopt it; its TUN device leaves nothing, as it goes
with flanneld). Objects on our links are ours. A route is ours by its protocol number, or because it leaves through a
link of ours. Everything else is foreign: on a key that we want it is a conflict to be reported, never something to
replace.

Two kinds of unmarked routes are still taken for ours (`claim`): `ip route replace` typed by hand over a
route of ours, and the plain routes that flannel's host-gw leaves. Both are `proto boot`, rtnetlink's default protocol;
a routing daemon, NetworkManager or networkd sets its own number.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flanpy.model.bridge import is_named_port
from flanpy.model.ipip import IpipLink
from flanpy.model.objects import (
    ROUTE_PROTO,
    KernelObject,
    Key,
    Link,
    OtherLink,
    Route,
    TunLink,
    VxlanLink,
)
from flanpy.model.ops import Objects
from flanpy.model.put_order import LINK_ALIAS
from flanpy.model.wireguard import LINKS, WireguardLink

PROTO_BOOT = 3
"""RTPROT_BOOT of rtnetlink(7): what `ip route` and flannel put without thinking of it."""


@dataclass(slots=True)
class Observed:
    """The known kernel objects, read back or written by us, split by owner.

    Mutable on purpose: the reconcile loop owns the one instance and keeps it in step with its own writes.
    """

    owned: dict[Key, KernelObject] = field(default_factory=dict)
    foreign: dict[Key, KernelObject] = field(default_factory=dict)


def owns_link(link: Link) -> bool:
    """Report whether this link is ours, or flannel's to be adopted."""
    match link:
        case OtherLink():
            return False
        case VxlanLink(alias="", name=name, vni=vni):
            return name in {f"flannel.{vni}", f"flannel-v6.{vni}"}
        case IpipLink(alias="", name=name):
            return name == "flannel.ipip"
        case WireguardLink(alias="", name=name):
            return name in LINKS.values()
        case (
            VxlanLink(alias=alias) | TunLink(alias=alias) | IpipLink(alias=alias) | WireguardLink(alias=alias)
        ):
            return alias == LINK_ALIAS


def is_of_named_network(obj: KernelObject) -> bool:
    """Report whether `obj` serves a named network alone: the flat overlay stands without it."""
    return is_named_port((obj.name if isinstance(obj, VxlanLink) else obj.home) or "")


def split(objects: Objects) -> Observed:
    """Sort the objects read back by owner."""
    links = {obj.name for obj in objects.values() if isinstance(obj, Link) and owns_link(obj)}
    owned: dict[Key, KernelObject] = {}
    foreign: dict[Key, KernelObject] = {}
    for key, obj in objects.items():
        side = owned if _owns(obj, links) else foreign
        side[key] = obj
    return Observed(owned, foreign)


def claim(observed: Observed, *, before: Objects, desired: Objects) -> Observed:
    """Return `observed` with unmarked objects of ours: a TUN device that lost its mark, and anonymous routes.

    Routes are claimed where `before` (the objects we owned until now) had a route of ours: it was altered. Routes that
    forward just as the desired one would are claimed too: flannel put them; from now on they go when their lease goes.
    """
    for found in [*observed.foreign.values()]:
        if isinstance(found, TunLink) and _lost_its_mark(found, before.get(found.key)):
            _claim_link(observed, found)
    for key, found in [*observed.foreign.items()]:
        if not isinstance(found, Route) or found.proto != PROTO_BOOT:
            continue
        if isinstance(before.get(key), Route) or _would_do(desired.get(key), found):
            observed.owned[key] = observed.foreign.pop(key)
    return observed


def _lost_its_mark(found: TunLink, before: KernelObject | None) -> bool:
    """Report whether an unmarked TUN device was ours before and is otherwise unchanged; else it may be flannel's."""
    return not found.alias and replace(found, alias=LINK_ALIAS) == before


def _claim_link(observed: Observed, link: TunLink) -> None:
    theirs = [key for key, obj in observed.foreign.items() if obj is link or obj.home == link.name]
    for key in theirs:
        observed.owned[key] = observed.foreign.pop(key)


def _would_do(wanted: KernelObject | None, found: Route) -> bool:
    return isinstance(wanted, Route) and replace(found, proto=wanted.proto, onlink=wanted.onlink) == wanted


def _owns(obj: KernelObject, links: set[str]) -> bool:
    if isinstance(obj, Route):
        return obj.proto == ROUTE_PROTO or obj.link in links
    return obj.only_ours or (obj.name if isinstance(obj, Link) else obj.home) in links


def forget_link(observed: Observed, name: str) -> None:
    """Drop a deleted link from `observed`, and all objects that went with it."""
    observed.owned.pop(("link", name), None)
    gone = [key for key, obj in observed.owned.items() if obj.home == name]
    for key in gone:
        del observed.owned[key]
