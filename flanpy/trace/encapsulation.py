"""The transport of a routed packet to the other host: VXLAN entries, a UDP tunnel's table, IPIP, WireGuard, a gateway.

Pure. Ends with the wrapped packet's own way: its route on the underlay, rules that would drop it, and whether it fits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from ipaddress import ip_address
from typing import Final

from flanpy.model.address import IPAddress
from flanpy.trace.filter import IPIP, Hook, Packet
from flanpy.trace.hop import Cause, Hop, HopVerdict, Place
from flanpy.trace.passage import passage
from flanpy.trace.seen import Device, Entry, LeaseSeen, Seen

_PASSES, _HARMS, _DIES, _UNKNOWN = HopVerdict.PASSES, HopVerdict.HARMS, HopVerdict.DIES, HopVerdict.UNKNOWN

_OVERHEAD: Final = {
    ("vxlan", 4): 50,
    ("vxlan", 6): 70,
    ("tun", 4): 28,
    ("ipip", 4): 20,
    ("wireguard", 4): 60,
    ("wireguard", 6): 80,
}
"""Bytes that the wrapping takes: outer IP and UDP headers, VXLAN's with the inner Ethernet header, WireGuard's own."""

_DIFF: Final = "flanpyd repairs this: see 'flanpyctl diff' and 'flanpyctl events'"


def hops_beneath(seen: Seen) -> Iterator[Hop]:
    """By the kind of link that the route leads to, whatever the backend says: that is what the kernel does."""
    way = seen.inner
    device = seen.device(way.link) if way is not None else None
    if way is None or device is None or way.kind == "local":
        return
    if device.kind == "vxlan":
        target = yield from _vxlan(seen, device)
        yield from _wrapped(seen, device, target)
    elif device.kind == "tun":
        yield from _tunnel(seen)
        yield from _wrapped(seen, device, seen.peer.public_ip if seen.peer else "")
    elif device.kind == "ipip":
        # the route's gateway is the far end: `trace.routing` judged it
        yield from _wrapped(seen, device, str(way.gateway or ""))
    elif device.kind == "wireguard" and seen.peer is not None:
        yield Hop(Place.TUNNEL_TABLE, _PASSES, f"through {device.name}, encrypted to {seen.peer.name}")
        yield from _wrapped(seen, device, seen.peer.public_ip)
    elif seen.peer is not None and seen.peer.way == "direct":
        yield from _gateway(seen, way.gateway)


def _vxlan(seen: Seen, device: Device) -> Generator[Hop, None, str]:
    """Neighbour and FDB entry; returns the underlay address that the frame is sent to, "" if none."""
    gateway = seen.inner.gateway if seen.inner and seen.inner.gateway else seen.destination
    if seen.neighbours is None:
        yield Hop(Place.NEIGHBOUR, _UNKNOWN, f"the neighbours on {device.name} cannot be read")
        return ""
    entry = seen.neighbours.get(str(gateway))
    yield _neighbour(seen.peer, gateway, entry, device.name)
    if entry is None or not entry.mac:
        return ""
    if seen.fdb is None:
        yield Hop(Place.FDB_ENTRY, _UNKNOWN, f"the FDB of {device.name} cannot be read")
        return ""
    targets = seen.fdb.get(entry.mac.lower(), ())
    yield _fdb(seen.peer, entry.mac, targets, device.name)
    return targets[0] if targets else ""


def _neighbour(peer: LeaseSeen | None, gateway: IPAddress, entry: Entry | None, link: str) -> Hop:
    if entry is None or not entry.mac or "FAILED" in entry.state:
        text = f"nothing says which MAC {gateway} has on {link}"
        wanted = f" lladdr {peer.mac} nud permanent" if peer and peer.mac else ""
        evidence = (f"state {entry.state}",) if entry else ()
        return Hop(
            Place.NEIGHBOUR, _DIES, text, evidence, f"{_DIFF} (ip neigh replace {gateway} dev {link}{wanted})"
        )
    if peer is not None and peer.mac and entry.mac.lower() != peer.mac:
        text = f"{gateway} has MAC {entry.mac} here, but {peer.name}'s VTEP is {peer.mac}"
        return Hop(Place.NEIGHBOUR, _DIES, text, (f"state {entry.state}",), _DIFF)
    return Hop(Place.NEIGHBOUR, _PASSES, f"{gateway} is {entry.mac} on {link} ({entry.state})")


def _fdb(peer: LeaseSeen | None, mac: str, targets: tuple[str, ...], link: str) -> Hop:
    if not targets:
        wanted = f" dst {peer.public_ip}" if peer and peer.public_ip else ""
        cure = f"{_DIFF} (bridge fdb replace {mac} dev {link}{wanted} self permanent)"
        return Hop(Place.FDB_ENTRY, _DIES, f"{link} does not know which host has MAC {mac}", (), cure)
    shown = ", ".join(targets)
    if peer is not None and peer.public_ip and peer.public_ip not in targets:
        text = f"{link} sends frames for {mac} to {shown}, but {peer.name} is at {peer.public_ip}"
        return Hop(Place.FDB_ENTRY, _DIES, text, (), _DIFF)
    return Hop(Place.FDB_ENTRY, _PASSES, f"{mac} is at {shown}")


def _tunnel(seen: Seen) -> Iterator[Hop]:
    overlay, peer = seen.overlay, seen.peer
    plane = f", {overlay.plane} plane" if overlay.plane else ""
    if peer is None:
        return
    if overlay.tunnel_rows is None:
        yield Hop(Place.TUNNEL_TABLE, _UNKNOWN, f"the table of the UDP tunnel cannot be read{plane}")
        return
    to = overlay.tunnel_rows.get(str(peer.subnet))
    if to is None:
        yield Hop(Place.TUNNEL_TABLE, _DIES, f"the UDP tunnel has no row for {peer.subnet}{plane}", (), _DIFF)
    elif to != peer.public_ip:
        text = f"the UDP tunnel sends {peer.subnet} to {to}, but {peer.name} is at {peer.public_ip}"
        yield Hop(Place.TUNNEL_TABLE, _DIES, text, (), _DIFF)
    else:
        yield Hop(Place.TUNNEL_TABLE, _PASSES, f"{peer.subnet} is reached through {to}{plane}")


def _gateway(seen: Seen, gateway: IPAddress | None) -> Iterator[Hop]:
    """host-gw, and what DirectRouting sends without a tunnel: the other host itself is the next hop."""
    if gateway is None or seen.neighbours is None:
        yield Hop(Place.GATEWAY, _UNKNOWN, "whether the gateway answers cannot be read")
        return
    entry = seen.neighbours.get(str(gateway))
    if entry is not None and "FAILED" in entry.state:
        cure = "is that host up, and on the same link? ARP gets no answer"
        yield Hop(
            Place.GATEWAY, _DIES, f"{gateway} does not answer on the link", (f"state {entry.state}",), cure
        )
    else:
        known = (
            f"{entry.mac} ({entry.state})"
            if entry is not None and entry.mac
            else "asked for when a packet comes"
        )
        yield Hop(Place.GATEWAY, _PASSES, f"{gateway} is {known}")


def _wrapped(seen: Seen, device: Device, target: str) -> Iterator[Hop]:
    """The packet in its wrapping, on the underlay."""
    outer = seen.outer
    if not target or seen.peer is None:
        return
    if outer is None:
        yield Hop(Place.UNDERLAY, _UNKNOWN, f"the route to {target} cannot be read")
        return
    if outer.problem or outer.kind != "unicast":
        why = outer.problem or f"it is {outer.kind}"
        yield Hop(Place.UNDERLAY, _DIES, f"no route to {target}: {why}", (), "restore the underlay's routes")
        return
    link = seen.device(outer.link)
    if link is not None and not (link.up and link.carrier):
        yield Hop(
            Place.UNDERLAY,
            _DIES,
            f"{link.name}, the way to {target}, is {'without carrier' if link.up else 'down'}",
        )
        return
    yield from _underlay_entry(seen, target)
    yield from _underlay_rules(seen, device, target)
    if link is not None:
        yield _size(device, link, target)


def _underlay_entry(seen: Seen, target: str) -> Iterator[Hop]:
    assert seen.outer is not None
    hop = seen.outer.gateway or target
    entry = (seen.outer_neighbours or {}).get(str(hop))
    via = f" via {seen.outer.gateway}" if seen.outer.gateway else ""
    shown = f"{target} is reached by {seen.outer.link}{via}"
    if entry is not None and "FAILED" in entry.state:
        yield Hop(
            Place.UNDERLAY,
            _DIES,
            f"{shown}, but {hop} does not answer ARP",
            (f"state {entry.state}",),
            "is that host up?",
        )
    else:
        yield Hop(Place.UNDERLAY, _PASSES, shown)


def _underlay_rules(seen: Seen, device: Device, target: str) -> Iterator[Hop]:
    """OUTPUT and POSTROUTING of the wrapped packet: UDP from this host to the peer's port."""
    assert seen.outer is not None
    wanted = seen.overlay.device
    port = device.port or (wanted.port if wanted else None) or 0
    source = device.local or (wanted.local if wanted else "") or str(seen.outer.source or "")
    if source:
        packet = Packet(
            ip_address(source),
            ip_address(target),
            "",
            seen.outer.link,
            _protocol(device),
            port,
            local=frozenset(seen.addresses),
        )
        yield _wrapped_filter(seen, packet, (Hook.OUTPUT, Hook.POSTROUTING), "leaves")


def hops_before(seen: Seen) -> Iterator[Hop]:
    """A wrapped packet that arrives: rules on the underlay may keep it from being unwrapped."""
    wanted, peer, outer = seen.overlay.device, seen.peer, seen.outer
    if wanted is None or peer is None or peer.way == "direct":
        return
    if not wanted.port and wanted.kind != "ipip":
        return
    if outer is None or not outer.link or not peer.public_ip:
        return
    here = wanted.local or (seen.overlay.own.public_ip if seen.overlay.own is not None else "")
    if not here:
        return
    source, local = ip_address(peer.public_ip), ip_address(here)
    packet = Packet(
        source, local, outer.link, "", _protocol(wanted), wanted.port or 0, local=frozenset(seen.addresses)
    )
    yield _wrapped_filter(seen, packet, (Hook.PREROUTING, Hook.INPUT), "reaches")


def _protocol(device: Device) -> str:
    return IPIP if device.kind == "ipip" else "udp"


def _wrapped_filter(seen: Seen, packet: Packet, hooks: Iterable[Hook], verb: str) -> Hop:
    what = f"UDP port {packet.port}" if packet.port else "IP protocol 4"
    for hook in hooks:
        passed = passage(seen.tables, hook, packet)
        if passed.dropped is not None:
            text = f"the wrapped packet ({what}) is dropped by {passed.dropped.where}"
            cure = f"let {what} pass between the hosts"
            return Hop(
                Place.UNDERLAY_FILTER,
                _DIES,
                text,
                (passed.dropped.rule,),
                cure,
                Cause.DROPPED,
                passed.dropped,
            )
    if not seen.tables_read:
        return Hop(Place.UNDERLAY_FILTER, _UNKNOWN, "the packet filter cannot be read")
    return Hop(Place.UNDERLAY_FILTER, _PASSES, f"{what} {verb} this host")


def _size(device: Device, link: Device, target: str) -> Hop:
    assert target
    overhead = _OVERHEAD.get((device.kind, ip_address(target).version), 50)
    fits = link.mtu - overhead
    if device.mtu > fits:
        text = f"{device.name} takes packets of {device.mtu} bytes, {link.name} carries {fits} of them"
        return Hop(
            Place.UNDERLAY_MTU,
            _HARMS,
            text,
            (f"{link.name} has MTU {link.mtu}",),
            f"ip link set {device.name} mtu {fits}",
            Cause.MTU,
        )
    return Hop(
        Place.UNDERLAY_MTU,
        _PASSES,
        f"{device.mtu} bytes and {overhead} of wrapping fit {link.name}'s {link.mtu}",
    )
