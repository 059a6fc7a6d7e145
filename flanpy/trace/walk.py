"""Follows a packet through what was read: pure, one function a station, in the order in which the kernel asks.

Out of a host: lease, forwarding, rules before the route, route, device, rules on the way, source address, then what
the backend needs (neighbour and FDB entry, tunnel table, or gateway), the wrapped packet's own route and rules, and
what probes say of the rest of the way. Into a host: the same up to the container's bridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from flanpy.trace.encapsulation import hops_before, hops_beneath
from flanpy.trace.filter import Hook, Met, Packet, Passage, passage
from flanpy.trace.hop import Hop, Verdict, Walk
from flanpy.trace.seen import Direction, Seen, Way

Station = Callable[[Seen], Iterator[Hop]]

_PASSES, _HARMS, _DIES, _UNKNOWN = Verdict.PASSES, Verdict.HARMS, Verdict.DIES, Verdict.UNKNOWN


def walk(seen: Seen) -> Walk:
    """The whole way."""
    here: tuple[Station, ...] = (_forwarding, _prerouting, _route, _device, _on_the_way)
    stations = (_lease, *here, hops_beneath, _probes)
    if seen.direction is Direction.IN:
        stations = (_lease, hops_before, *here, _delivery)
    return Walk(
        destination=str(seen.destination),
        source=str(seen.source or ""),
        direction=seen.direction,
        assumed=seen.assumed,
        hops=tuple(hop for station in stations for hop in station(seen)),
        unread=seen.unread,
    )


def _lease(seen: Seen) -> Iterator[Hop]:
    overlay = seen.overlay
    if not overlay.answered:
        yield Hop("lease", _UNKNOWN, "the daemon cannot be asked whose address this is")
        return
    lease = overlay.lease_of(seen.destination)
    if lease is not None:
        whose = "this host's own" if lease is overlay.own else f"{lease.name}'s, at {lease.public_ip}"
        if lease.state in {"failed", "rejected"}:
            yield Hop(
                "lease", _DIES, f"{lease.subnet} is {whose}, but is {lease.state}: {lease.reason}", (), _DIFF
            )
        else:
            yield Hop("lease", _PASSES, f"{lease.subnet} is {whose} ({lease.backend or overlay.backend})")
        return
    networks = ", ".join(map(str, overlay.networks)) or "no network yet"
    cure = "is its flanpyd up, and its lease alive? See 'flanpyctl subnets'"
    yield Hop("lease", _DIES, f"no lease covers {seen.destination} (the overlay is {networks})", (), cure)


_DIFF: Final = "see 'flanpyctl diff' and 'flanpyctl status'"


def _forwarding(seen: Seen) -> Iterator[Hop]:
    if seen.direction is Direction.FROM_HOST:
        return
    name = "net.ipv4.ip_forward" if seen.destination.version == 4 else "net.ipv6.conf.all.forwarding"
    value = seen.sysctls.get(name)
    if value is None:
        yield Hop("forwarding", _UNKNOWN, f"{name} cannot be read")
    elif value == "0":
        yield Hop("forwarding", _DIES, "this host forwards nothing", (f"{name} = 0",), f"sysctl -w {name}=1")
    else:
        yield Hop("forwarding", _PASSES, f"{name} = {value}")


def _packet(seen: Seen, out_link: str = "", mark: int = 0) -> Packet | None:
    if seen.source is None or seen.source.version != seen.destination.version:
        return None
    return Packet(
        seen.source, seen.destination, seen.in_link, out_link, mark=mark, local=frozenset(seen.addresses)
    )


def _prerouting(seen: Seen) -> Iterator[Hop]:
    packet = _packet(seen)
    if seen.direction is Direction.FROM_HOST or packet is None:
        return
    yield from _judged("filter before the route", seen, passage(seen.tables, Hook.PREROUTING, packet))


def _route(seen: Seen) -> Iterator[Hop]:
    way = seen.inner
    if way is None:
        yield Hop("route", _UNKNOWN, "the routes cannot be read")
        return
    problem, cure = _wrong_way(seen, way)
    shown = f"{way.entry or 'a route'} (goes by {way.link}{f' via {way.gateway}' if way.gateway else ''})"
    if problem:
        evidence = () if way.problem else (shown,)
        yield Hop("route", _DIES, problem, evidence, cure)
    else:
        yield Hop("route", _PASSES, shown)


def _wrong_way(seen: Seen, way: Way) -> tuple[str, str]:
    """What is wrong with a route, and what to do; two times nothing if nothing is."""
    if way.problem and _is_spoofed(seen, way):
        settings = ", ".join(f"{name}={value}" for name, value in seen.sysctls.items() if "rp_filter" in name)
        name = f"net.ipv4.conf.{seen.in_link}.rp_filter"
        return (
            f"{seen.source} coming by {seen.in_link} is dropped by reverse path filtering ({settings})",
            f"the route to {seen.source} must lead to {seen.in_link}, or: sysctl -w {name}=2",
        )
    if way.problem:
        return f"no route to {seen.destination}: {way.problem}", _DIFF
    if way.kind not in {"unicast", "local"}:
        return (
            f"a {way.kind} route takes packets to {seen.destination}",
            "remove that route, or see 'flanpyctl diff'",
        )
    return _misled_in(seen, way) if seen.direction is Direction.IN else _misled(seen, way)


def _is_spoofed(seen: Seen, way: Way) -> bool:
    """Kernels differ in what they say; strict filtering wants the way back to be the way that it came (RFC 3704)."""
    modes = [int(value) for name, value in seen.sysctls.items() if "rp_filter" in name and value.isdecimal()]
    strict = max(modes, default=0) == 1
    elsewhere = seen.back is None or seen.back.link != seen.in_link
    return "cross-device" in way.problem or ("Invalid argument" in way.problem and strict and elsewhere)


def _misled_in(seen: Seen, way: Way) -> tuple[str, str]:
    own = seen.overlay.own
    if own is None or way.kind == "local":
        return "", ""
    bridges = {link for address, link in seen.addresses.items() if address in own.subnet}
    if seen.overlay.device is not None:
        bridges.discard(seen.overlay.device.name)
    if way.link in bridges:
        return "", ""
    text = f"packets to {own.subnet} go to no bridge of this host, but to {way.link}"
    return text, "is Docker up, and on this subnet? See 'flanpyctl docker status'"


def _misled(seen: Seen, way: Way) -> tuple[str, str]:
    peer, overlay = seen.peer, seen.overlay
    if peer is None or overlay.backend in {"", "alloc", "extension"}:
        return "", ""
    if peer.way == "direct":
        if str(way.gateway) != peer.public_ip:
            return f"the route to {peer.subnet} does not lead to {peer.public_ip}", _FOREIGN_ROUTE
    elif overlay.device is not None and way.link != overlay.device.name:
        return (
            f"packets to {peer.subnet} do not go by {overlay.device.name}, but by {way.link}",
            _FOREIGN_ROUTE,
        )
    elif overlay.backend == "vxlan" and way.gateway != peer.subnet[0]:
        return f"the route to {peer.subnet} does not lead to {peer.subnet[0]}, its VTEP", _FOREIGN_ROUTE
    return "", ""


_FOREIGN_ROUTE: Final = (
    "somebody else's route may be in the way: 'ip route get' names it, 'flanpyctl diff' what is wanted"
)


def _device(seen: Seen) -> Iterator[Hop]:
    way, wanted = seen.inner, seen.overlay.device
    name = way.link if way is not None and way.link else wanted.name if wanted else ""
    if seen.devices is None:
        yield Hop("device", _UNKNOWN, "the links cannot be read")
        return
    if not name:
        return
    device = seen.device(name)
    if device is None:
        yield Hop("device", _DIES, f"{name} does not exist", (), _DIFF)
    elif not device.up:
        yield Hop("device", _DIES, f"{name} is down", (), f"ip link set {name} up")
    elif not device.carrier:
        yield Hop("device", _DIES, f"{name} is up, but has no carrier: nothing is attached to it")
    elif wanted is not None and wanted.name == name and device.mtu > wanted.mtu > 0:
        text = f"{name} has MTU {device.mtu}, but {wanted.mtu} fits the underlay"
        yield Hop("device", _HARMS, text, (), f"ip link set {name} mtu {wanted.mtu}")
    else:
        yield Hop(
            "device", _PASSES, f"{name} is up{f' ({device.kind})' if device.kind else ''}, MTU {device.mtu}"
        )


def _on_the_way(seen: Seen) -> Iterator[Hop]:
    """Rules of FORWARD (or OUTPUT), then POSTROUTING with its translation of sources."""
    way = seen.inner
    packet = _packet(seen, way.link if way else "")
    if packet is None or way is None or not way.link:
        return
    hook = Hook.OUTPUT if seen.direction is Direction.FROM_HOST else Hook.FORWARD
    mid = passage(seen.tables, hook, packet)
    yield from _judged("filter", seen, mid)
    last = passage(seen.tables, Hook.POSTROUTING, _packet(seen, way.link, mid.mark) or packet)
    yield from _translation(seen, last)


def _judged(name: str, seen: Seen, passed: Passage) -> Iterator[Hop]:
    perhaps = tuple(f"some packets: {met}" for met in passed.perhaps)
    if passed.dropped is not None:
        yield Hop(
            name,
            _DIES,
            f"dropped by {passed.dropped.where}",
            (passed.dropped.rule,),
            _cure_of(passed.dropped),
        )
    elif not seen.tables_read:
        yield Hop(name, _UNKNOWN, "the packet filter cannot be read")
    elif passed.rewritten is not None:
        yield Hop(
            name,
            _HARMS,
            f"its destination is changed by {passed.rewritten.where}",
            (passed.rewritten.rule,),
        )
    else:
        accepted = [str(met) for met in passed.accepted if "policy" not in met.text]
        yield Hop(name, _PASSES, f"accepted by {accepted[0]}" if accepted else "no rule stops it", perhaps)


def _cure_of(met: Met) -> str:
    if met.text.startswith("policy"):
        return (
            "accept the overlay's traffic, as flanpyd does by itself: see FirewallReady in 'flanpyctl status'"
        )
    if "raw" in met.where or "DOCKER" in met.where or "docker" in met.where:
        return (
            "Docker drops what comes by another link than its bridge: see FirewallReady in 'flanpyctl status'"
        )
    return "remove that rule, or accept the overlay's traffic before it"


def _translation(seen: Seen, passed: Passage) -> Iterator[Hop]:
    if passed.dropped is not None or not seen.tables_read:
        yield from _judged("source address", seen, passed)
        return
    perhaps = tuple(f"some packets: {met}" for met in passed.perhaps)
    if passed.rewritten is None:
        yield Hop("source address", _PASSES, f"stays {seen.source}", perhaps)
        return
    foreign = "" if "FLANPY-" in passed.rewritten.where else "somebody else's rule: "
    yield Hop(
        "source address",
        _HARMS,
        f"{seen.source} is rewritten by {passed.rewritten.where}",
        (f"{foreign}{passed.rewritten.rule}",),
        "exempt the overlay's network from it, for the far container sees a host's address instead",
    )


def _delivery(seen: Seen) -> Iterator[Hop]:
    """On the container's bridge: does the container answer ARP?"""
    entry = (seen.neighbours or {}).get(str(seen.destination))
    if seen.inner is None or not seen.inner.link or seen.inner.kind == "local":
        return
    if entry is None:
        yield Hop(
            "container", _PASSES, f"{seen.destination} is asked for on {seen.inner.link} when a packet comes"
        )
    elif "FAILED" in entry.state:
        cure = "is there such a container? See 'docker network inspect'"
        yield Hop(
            "container",
            _DIES,
            f"nobody on {seen.inner.link} answers for {seen.destination}",
            (entry.state,),
            cure,
        )
    else:
        yield Hop(
            "container", _PASSES, f"{seen.destination} is {entry.mac or 'being asked for'} ({entry.state})"
        )


def _probes(seen: Seen) -> Iterator[Hop]:
    found, peer = seen.probed, seen.peer
    if peer is None:
        return
    if found is None or found.reach in {"", "unknown"}:
        yield Hop("rest of the way", _UNKNOWN, f"probes do not tell whether {peer.name} is reached")
        return
    evidence = tuple(filter(None, (found.evidence,)))
    words = f"{peer.name} is {found.reach} by probes{f': {found.trouble}' if found.trouble else ''}"
    verdict = {"unreachable": _DIES, "lossy": _HARMS}.get(found.reach, _HARMS if found.trouble else _PASSES)
    yield Hop("rest of the way", verdict, words, evidence, found.cure)
