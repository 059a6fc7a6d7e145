"""Follows a packet through what was read: pure, one function a station, in the order in which the kernel asks.

Out of a host: lease, forwarding, rules before the route, route, device, rules on the way, source address, then what
the backend needs (neighbour and FDB entry, tunnel table, or gateway), the wrapped packet's own route and rules, and
what probes say of the rest of the way. Into a host: the same up to the container's bridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flanpy.host.sysctl import sysctl_name
from flanpy.model.bridge import is_named_bridge
from flanpy.trace.encapsulation import hops_before, hops_beneath
from flanpy.trace.filter import Hook, Met, Packet, Passage
from flanpy.trace.hop import Cause, Hop, HopVerdict, Place, Walk
from flanpy.trace.passage import passage
from flanpy.trace.routing import SEE_DIFF, route_hops
from flanpy.trace.seen import Direction, Seen

Station = Callable[[Seen], Iterator[Hop]]

_PASSES, _HARMS, _DIES, _UNKNOWN = HopVerdict.PASSES, HopVerdict.HARMS, HopVerdict.DIES, HopVerdict.UNKNOWN


def walk(seen: Seen) -> Walk:
    """The whole way."""
    here: tuple[Station, ...] = (_room, _forwarding, _prerouting, route_hops, _device, _on_the_way)
    stations = (_lease, *here, hops_beneath, _probes)
    if seen.named_bridge:
        stations = (_network, *(here if seen.in_link != seen.named_bridge else (_device,)), _delivery)
    elif seen.direction is Direction.IN:
        stations = (_lease, hops_before, *here, _delivery)
    return Walk(
        destination=str(seen.destination),
        source=str(seen.source or ""),
        direction=seen.direction,
        assumed=seen.assumed,
        hops=tuple(hop for station in stations for hop in station(seen)),
        unread=seen.unread,
    )


def _network(seen: Seen) -> Iterator[Hop]:
    """Named networks are reached by their own bridges; what is between two of one network stays within the bridge."""
    bridge = seen.named_bridge
    if seen.in_link == bridge:
        text = f"both are on one named network: {bridge} of this host takes frames to it"
    elif is_named_bridge(seen.in_link):
        text = f"from one named network ({seen.in_link} here) into another ({bridge})"
    else:
        text = f"{seen.destination} is on a named network, by {bridge} of this host"
    yield Hop(Place.NETWORK, _PASSES, text)


def _lease(seen: Seen) -> Iterator[Hop]:
    overlay = seen.overlay
    if not overlay.answered:
        yield Hop(Place.LEASE, _UNKNOWN, "the daemon cannot be asked whose address this is")
        return
    lease = overlay.lease_of(seen.destination)
    if lease is not None:
        whose = "this host's own" if lease is overlay.own else f"{lease.name}'s, at {lease.public_ip}"
        if lease.state in {"failed", "rejected"}:
            yield Hop(
                Place.LEASE,
                _DIES,
                f"{lease.subnet} is {whose}, but is {lease.state}: {lease.reason}",
                (),
                SEE_DIFF,
            )
        else:
            yield Hop(Place.LEASE, _PASSES, f"{lease.subnet} is {whose} ({lease.backend or overlay.backend})")
        return
    networks = ", ".join(map(str, overlay.networks)) or "no network yet"
    cure = "is its flanpyd up, and its lease alive? See 'flanpyctl subnets'"
    yield Hop(Place.LEASE, _DIES, f"no lease covers {seen.destination} (the overlay is {networks})", (), cure)


def _room(seen: Seen) -> Iterator[Hop]:
    """IPv6 of the overlay may be off here, for want of room."""
    overlay = seen.overlay
    if overlay.narrow:
        yield Hop(Place.DEVICE, _DIES, overlay.narrow, (), overlay.narrow_cure, Cause.NO_ROOM)


def _forwarding(seen: Seen) -> Iterator[Hop]:
    if seen.direction is Direction.FROM_HOST:
        return
    name = "net.ipv4.ip_forward" if seen.destination.version == 4 else "net.ipv6.conf.all.forwarding"
    value = seen.sysctls.get(name)
    if value is None:
        yield Hop(Place.FORWARDING, _UNKNOWN, f"{name} cannot be read")
    elif value == "0":
        yield Hop(
            Place.FORWARDING, _DIES, "this host forwards nothing", (f"{name} = 0",), f"sysctl -w {name}=1"
        )
    else:
        yield _forwarding_of_link(seen) or Hop(Place.FORWARDING, _PASSES, f"{name} = {value}")


def _forwarding_of_link(seen: Seen) -> Hop | None:
    """IPv4 is forwarded by the switch of the link that the packet comes in by; None if that is on."""
    name = sysctl_name(f"net/ipv4/conf/{seen.in_link}/forwarding")
    if seen.sysctls.get(name) != "0":
        return None
    text = f"nothing is forwarded that comes in by {seen.in_link}"
    return Hop(Place.FORWARDING, _DIES, text, (f"{name} = 0",), f"sysctl -w {name}=1")


def _packet(seen: Seen, out_link: str = "", mark: int = 0) -> Packet | None:
    if seen.source is None or seen.source.version != seen.destination.version:
        return None
    return Packet(
        seen.source,
        seen.destination,
        seen.in_link,
        out_link,
        protocol=seen.protocol,
        port=seen.port,
        mark=mark,
        local=frozenset(seen.addresses),
    )


def _prerouting(seen: Seen) -> Iterator[Hop]:
    packet = _packet(seen)
    if seen.direction is Direction.FROM_HOST or packet is None:
        return
    yield from _judged(Place.FILTER_BEFORE_ROUTE, seen, passage(seen.tables, Hook.PREROUTING, packet))


def _device(seen: Seen) -> Iterator[Hop]:
    way, wanted = seen.inner, seen.overlay.device
    name = way.link if way is not None and way.link else wanted.name if wanted else ""
    if seen.devices is None:
        yield Hop(Place.DEVICE, _UNKNOWN, "the links cannot be read")
        return
    if not name:
        return
    device = seen.device(name)
    if device is None:
        yield Hop(Place.DEVICE, _DIES, f"{name} does not exist", (), SEE_DIFF)
    elif not device.up:
        yield Hop(Place.DEVICE, _DIES, f"{name} is down", (), f"ip link set {name} up")
    elif not device.carrier:
        yield Hop(Place.DEVICE, _DIES, f"{name} is up, but has no carrier: nothing is attached to it")
    elif wanted is not None and wanted.name == name and device.mtu > wanted.mtu > 0:
        text = f"{name} has MTU {device.mtu}, but {wanted.mtu} fits the underlay"
        yield Hop(Place.DEVICE, _HARMS, text, (), f"ip link set {name} mtu {wanted.mtu}", Cause.MTU)
    else:
        yield Hop(
            Place.DEVICE,
            _PASSES,
            f"{name} is up{f' ({device.kind})' if device.kind else ''}, MTU {device.mtu}",
        )


def _on_the_way(seen: Seen) -> Iterator[Hop]:
    """Rules of FORWARD (or OUTPUT), then POSTROUTING with its translation of sources."""
    way = seen.inner
    packet = _packet(seen, way.link if way else "")
    if packet is None or way is None or not way.link:
        return
    hook = Hook.OUTPUT if seen.direction is Direction.FROM_HOST else Hook.FORWARD
    mid = passage(seen.tables, hook, packet)
    yield from _judged(Place.FILTER, seen, mid)
    last = passage(seen.tables, Hook.POSTROUTING, _packet(seen, way.link, mid.mark) or packet)
    yield from _translation(seen, last)


def _judged(place: Place, seen: Seen, passed: Passage) -> Iterator[Hop]:
    perhaps = tuple(f"some packets: {met}" for met in passed.perhaps)
    if passed.dropped is not None:
        yield Hop(
            place,
            _DIES,
            f"dropped by {passed.dropped.where}",
            (passed.dropped.rule, *(f"some packets pass: {met}" for met in passed.spared)),
            _cure_of(passed.dropped, seen),
            Cause.DROPPED_BY_DOCKER if passed.dropped.is_dockers else Cause.DROPPED,
            passed.dropped,
        )
    elif not seen.tables_read:
        yield Hop(place, _UNKNOWN, "the packet filter cannot be read")
    elif passed.rewritten is not None:
        yield Hop(
            place,
            _HARMS,
            f"its destination is changed by {passed.rewritten.where}",
            (passed.rewritten.rule,),
            cause=Cause.DESTINATION_REWRITTEN,
            rule=passed.rewritten,
        )
    else:
        accepted = next(iter(passed.accepted), None)
        yield Hop(place, _PASSES, f"accepted by {accepted}" if accepted else "no rule stops it", perhaps)


def _cure_of(met: Met, seen: Seen) -> str:
    if seen.named_bridge:
        return (
            "networks are apart unless they are linked: flanpyctl networks link; by ports: trace with --port"
        )
    if met.is_policy:
        return (
            "accept the overlay's traffic, as flanpyd does by itself: see FirewallReady in 'flanpyctl status'"
        )
    if met.is_dockers:
        return (
            "Docker drops what comes by another link than its bridge: see FirewallReady in 'flanpyctl status'"
        )
    return "remove that rule, or accept the overlay's traffic before it"


def _translation(seen: Seen, passed: Passage) -> Iterator[Hop]:
    if passed.dropped is not None or not seen.tables_read:
        yield from _judged(Place.SOURCE_ADDRESS, seen, passed)
        return
    perhaps = tuple(f"some packets: {met}" for met in passed.perhaps)
    if passed.rewritten is None:
        yield Hop(Place.SOURCE_ADDRESS, _PASSES, f"stays {seen.source}", perhaps)
        return
    if (
        seen.named_bridge
    ):  # as all that leaves a network: the answer comes back to this host, which knows whose it is
        text = f"becomes that of this host on {seen.named_bridge}, by {passed.rewritten.where}"
        yield Hop(Place.SOURCE_ADDRESS, _PASSES, text, (passed.rewritten.rule,))
        return
    foreign = "" if passed.rewritten.is_ours else "a foreign rule: "
    yield Hop(
        Place.SOURCE_ADDRESS,
        _HARMS,
        f"{seen.source} is rewritten by {passed.rewritten.where}",
        (f"{foreign}{passed.rewritten.rule}",),
        "exempt the overlay's network from it, for the far container sees a host's address instead",
        Cause.SOURCE_REWRITTEN,
        passed.rewritten,
    )


def _delivery(seen: Seen) -> Iterator[Hop]:
    """On the container's bridge: does the container answer ARP?"""
    entry = (seen.neighbours or {}).get(str(seen.destination))
    if seen.inner is None or not seen.inner.link or seen.inner.kind == "local":
        return
    if entry is None:
        yield Hop(
            Place.CONTAINER,
            _PASSES,
            f"{seen.destination} is asked for on {seen.inner.link} when a packet comes",
        )
    elif "FAILED" in entry.state:
        cure = "is there such a container? See 'docker network inspect'"
        yield Hop(
            Place.CONTAINER,
            _DIES,
            f"nobody on {seen.inner.link} answers for {seen.destination}",
            (entry.state,),
            cure,
        )
    else:
        yield Hop(
            Place.CONTAINER,
            _PASSES,
            f"{seen.destination} is {entry.mac or 'being asked for'} ({entry.state})",
        )


def _probes(seen: Seen) -> Iterator[Hop]:
    found, peer = seen.probed, seen.peer
    if peer is None:
        return
    if found is None or found.reach in {"", "unknown"}:
        yield Hop(Place.REST_OF_WAY, _UNKNOWN, f"probes do not tell whether {peer.name} is reached")
        return
    evidence = tuple(filter(None, (found.evidence,)))
    words = f"{peer.name} is {found.reach} by probes{f': {found.trouble}' if found.trouble else ''}"
    verdict = {"unreachable": _DIES, "lossy": _HARMS}.get(found.reach, _HARMS if found.trouble else _PASSES)
    yield Hop(Place.REST_OF_WAY, verdict, words, evidence, found.cure)
