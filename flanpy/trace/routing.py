"""The check that the kernel's route for a packet leads to its destination. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from flanpy.host.sysctl import sysctl_name
from flanpy.plan.foreign import cure_of_link, owner_of_link
from flanpy.trace.hop import Cause, Hop, HopVerdict, Place
from flanpy.trace.seen import Direction, RouteAnswer, Seen

SEE_DIFF: Final = "see 'flanpyctl diff' and 'flanpyctl status'"

_FOREIGN_ROUTE: Final = (
    "a foreign route may be in the way: 'ip route get' names it, 'flanpyctl diff' what is wanted"
)


def route_hops(seen: Seen) -> Iterator[Hop]:
    way = seen.inner
    if way is None:
        yield Hop(Place.ROUTE, HopVerdict.UNKNOWN, "the routes cannot be read")
        return
    wrong = _wrong_way(seen, way)
    rule = seen.rules.get(way.table) if way.table or way.problem else None
    if wrong is not None and rule is not None and wrong.cause is not Cause.REVERSE_PATH:
        wrong = _by_rule(seen, wrong, rule)
    shown = f"{way.entry or 'a route'} (goes by {way.link}{f' via {way.gateway}' if way.gateway else ''})"
    if wrong is not None:
        evidence = () if way.problem else (shown,)
        yield Hop(Place.ROUTE, HopVerdict.DIES, wrong.text, evidence, wrong.cure, wrong.cause)
    else:
        yield Hop(Place.ROUTE, HopVerdict.PASSES, shown)


def _by_rule(seen: Seen, wrong: _Wrong, rule: str) -> _Wrong:
    """The same fault, with the routing rule that leads there before the main table is asked."""
    network = next((one for one in seen.overlay.networks if seen.destination in one), seen.destination)
    number = rule.partition(":")[0]
    before = max(1, int(number) - 1) if number.isdecimal() else 1
    family = "-6 " if seen.destination.version == 6 else ""
    return replace(
        wrong,
        text=f"{wrong.text}, as routing rule '{rule}' goes before the main table",
        cure=f"ip {family}rule add pref {before} to {network} lookup main; or remove that rule",
        cause=Cause.RULE,
    )


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A fault of a route; fields as in `Hop`."""

    text: str
    cure: str
    cause: Cause = Cause.NONE


def _wrong_way(seen: Seen, way: RouteAnswer) -> _Wrong | None:
    """Return the route's fault, None for the right route."""
    if way.problem and _is_spoofed(seen, way):
        settings = ", ".join(f"{name}={value}" for name, value in seen.sysctls.items() if "rp_filter" in name)
        name = sysctl_name(f"net/ipv4/conf/{seen.in_link}/rp_filter")
        return _Wrong(
            f"{seen.source} coming by {seen.in_link} is dropped by reverse path filtering ({settings})",
            f"the route to {seen.source} must lead to {seen.in_link}, or: sysctl -w {name}=2",
            Cause.REVERSE_PATH,
        )
    if way.problem:
        return _Wrong(f"no route to {seen.destination}: {way.problem}", SEE_DIFF)
    if way.kind not in {"unicast", "local"}:
        return _Wrong(
            f"a {way.kind} route takes packets to {seen.destination}",
            "remove that route, or see 'flanpyctl diff'",
        )
    return _misled_in(seen, way) if seen.direction is Direction.IN else _misled(seen, way)


def _is_spoofed(seen: Seen, way: RouteAnswer) -> bool:
    """Kernels differ in what they say; strict filtering wants the way back to be the way that it came (RFC 3704)."""
    modes = [int(value) for name, value in seen.sysctls.items() if "rp_filter" in name and value.isdecimal()]
    strict = max(modes, default=0) == 1
    elsewhere = seen.back is None or seen.back.link != seen.in_link
    return "cross-device" in way.problem or ("Invalid argument" in way.problem and strict and elsewhere)


def _misled_in(seen: Seen, way: RouteAnswer) -> _Wrong | None:
    own = seen.overlay.own
    if own is None or way.kind == "local":
        return None
    bridges = {link for address, link in seen.addresses.items() if address in own.subnet}
    if seen.overlay.device is not None:
        bridges.discard(seen.overlay.device.name)
    if way.link in bridges:
        return None
    text = f"packets to {own.subnet} go to no bridge of this host, but to {way.link}"
    return _Wrong(text, "is Docker up, and on this subnet? See 'flanpyctl docker status'", Cause.NO_BRIDGE)


def _misled(seen: Seen, way: RouteAnswer) -> _Wrong | None:
    peer, overlay = seen.peer, seen.overlay
    if peer is None or overlay.backend in {"", "alloc", "extension"}:
        return None
    if peer.way == "direct":
        if str(way.gateway) != peer.public_ip:
            return _Wrong(f"the route to {peer.subnet} does not lead to {peer.public_ip}", _FOREIGN_ROUTE)
    elif overlay.device is not None and way.link != overlay.device.name:
        return _astray(seen, overlay.device.name, f"packets to {peer.subnet} go by {way.link}")
    elif overlay.backend == "vxlan" and way.gateway != peer.subnet[0]:
        text = f"the route to {peer.subnet} does not lead to {peer.subnet[0]}, its VTEP"
        return _Wrong(text, _FOREIGN_ROUTE)
    elif overlay.backend == "ipip" and str(way.gateway) != peer.public_ip:
        return _Wrong(f"the route to {peer.subnet} does not lead to {peer.public_ip}", _FOREIGN_ROUTE)
    return None


def _astray(seen: Seen, wanted: str, text: str) -> _Wrong:
    """With a device its routes go, too: that is the cause then."""
    device = seen.device(wanted)
    if seen.devices is not None and device is None:
        return _Wrong(f"{wanted} does not exist, so {text}", SEE_DIFF)
    if device is not None and not device.up:
        return _Wrong(f"{wanted} is down, so {text}", f"ip link set {wanted} up")
    way = seen.inner.link if seen.inner is not None else ""
    if whose := owner_of_link(way):
        network = next(iter(seen.overlay.networks), None)
        return _Wrong(f"{text}, {whose}, not by {wanted}", cure_of_link(way, network))
    return _Wrong(f"{text}, not by {wanted}", _FOREIGN_ROUTE)
