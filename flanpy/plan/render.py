"""Operations as the `ip`, `bridge`, `ethtool`, `sysctl`, `iptables` and `nft` lines that would do the same.

One renderer for the log, for `flanpyctl diff` and for golden tests. The UDP tunnel, which no tool of the system can
make, has lines of the same form that begin with `tunnel`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from flanpy.model.address import Family
from flanpy.model.ipip import IpipLink
from flanpy.model.objects import (
    MAIN_TABLE,
    Address,
    Blackhole,
    BridgePort,
    ExtensionPeer,
    ExtensionStart,
    FdbEntry,
    FloodEntry,
    HostSysctl,
    KernelObject,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    LocalRoute,
    Neighbour,
    OtherLink,
    OtherRoute,
    Route,
    TunLink,
    TunnelEnd,
    TunnelPeer,
    VxlanLink,
)
from flanpy.model.ops import Op, Put
from flanpy.model.packet_filter import FilterChain, FilterJump, FilterMember
from flanpy.model.wireguard import WgDevice, WgPeer, WireguardLink
from flanpy.plan.filter_text import describe_change, describe_member


def render(op: Op) -> str:
    """One shell line."""
    if not isinstance(op, Put):
        return _line(op.obj, "del")
    verb = "add" if op.previous is None else "replace"
    match op.obj, op.previous:
        case VxlanLink() as link, VxlanLink() as previous:
            return _link_change(link, previous)
        case TunLink() as link, TunLink() as previous:
            return f"ip link set {link.name} {_words(link, previous, (('mtu', 'mtu'), ('alias', 'alias')))}"
        case WireguardLink() as link, WireguardLink() as previous:
            return f"ip link set {link.name} {_words(link, previous, (('mtu', 'mtu'), ('alias', 'alias')))}"
        case IpipLink() as link, IpipLink() as previous:
            return _ipip_change(link, previous)
        case (FilterChain() | FilterJump()) as obj, previous:
            return describe_change(obj, verb, previous)
        case obj, _:
            return _line(obj, verb)


def describe(obj: KernelObject) -> str:
    """An object in words short enough for a condition's message."""
    return _line(obj, "show")


def _line(obj: KernelObject, verb: str) -> str:  # noqa: C901, PLR0911, PLR0912, one line of output for each kind
    match obj:
        case VxlanLink():
            return _link(obj, verb)
        case TunLink():
            return _tun(obj, verb)
        case IpipLink():
            return _ipip(obj, verb)
        case WireguardLink():
            return _wireguard(obj, verb)
        case WgDevice():
            return f"wg set {obj.link} listen-port {obj.port} private-key <of {obj.public_key}>"
        case WgPeer():
            return _wg_peer(obj, verb)
        case OtherLink():
            return f"ip link {verb} {obj.name} type {obj.kind}"
        case LinkFeature():
            return f"ethtool -K {obj.link} {obj.feature} {'on' if obj.enabled else 'off'}"
        case LinkSysctl():
            family = "ipv4" if obj.family is Family.IPV4 else "ipv6"
            return f"sysctl -w net.{family}.conf.{obj.link.replace('.', '/')}.{obj.name}={obj.value}"
        case HostSysctl():
            return f"sysctl -w {obj.name}={obj.value}"
        case BridgePort():
            return f"ip link set {obj.link} {'nomaster' if verb == 'del' else f'master {obj.bridge}'}"
        case Address():
            return f"ip address {verb} {obj.interface} dev {obj.link}"
        case LinkUp():
            return f"ip link set {obj.link} {'down' if verb == 'del' else 'up'}"
        case TunnelEnd():
            return _tunnel_end(obj, verb)
        case TunnelPeer():
            return (
                f"tunnel peer {verb} {obj.subnet} via {obj.peer} dev {obj.link}{' fast' if obj.fast else ''}"
            )
        case ExtensionStart():
            return f"extension {verb} start {obj.subnets}"
        case ExtensionPeer():
            return f"extension {verb} subnet {obj.subnets} via {', '.join(map(str, obj.public_ips))}"
        case Neighbour():
            return f"ip neighbour {verb} {obj.address} lladdr {obj.mac} dev {obj.link} nud permanent"
        case FdbEntry():
            return f"bridge fdb {verb} {obj.mac} dev {obj.link} dst {obj.destination} self permanent"
        case FloodEntry():
            verb = "append" if verb == "add" else verb
            return f"bridge fdb {verb} 00:00:00:00:00:00 dev {obj.link} dst {obj.destination} self permanent"
        case Route():
            return _route(obj, verb)
        case Blackhole():
            return _blackhole(obj, verb)
        case LocalRoute():
            return f"ip route {verb} local {obj.destination} dev lo proto {obj.proto}"
        case OtherRoute():
            return f"ip route {verb} {obj.kind} {obj.destination} proto {obj.proto}"
        case FilterChain() | FilterJump():
            return describe_change(obj, verb)
        case FilterMember():
            return describe_member(obj, verb)
        case _:
            assert_never(obj)


def _link(link: VxlanLink, verb: str) -> str:
    if verb != "add":
        return f"ip link {verb} {link.name}"
    flags = f"{'learning' if link.learning else 'nolearning'}{' gbp' if link.gbp else ''}"
    return (
        f"ip link add {link.name} address {link.mac} mtu {link.mtu} alias {link.alias} type vxlan id {link.vni} "
        f"dev {link.parent} local {link.local} dstport {link.port} {flags}"
    )


def _link_change(link: VxlanLink, previous: VxlanLink) -> str:
    words = [_words(link, previous, (("address", "mac"), ("mtu", "mtu"), ("alias", "alias")))]
    if (link.local, link.parent, link.learning) != (previous.local, previous.parent, previous.learning):
        learning = "learning" if link.learning else "nolearning"
        words.append(f"type vxlan id {link.vni} dev {link.parent} local {link.local} {learning}")
    return f"ip link set {link.name} {' '.join(filter(None, words))}"


def _words(new: object, old: object, attributes: Iterable[tuple[str, str]]) -> str:
    """`mtu 1450`, for each attribute that differs, given with its word."""
    return " ".join(
        f"{word} {getattr(new, name)}"
        for word, name in attributes
        if getattr(new, name) != getattr(old, name)
    )


def _tun(link: TunLink, verb: str) -> str:
    if verb != "add":
        return f"ip link {verb} {link.name}"
    queues = " multi_queue" if link.multi_queue else ""
    make = f"ip tuntap add {link.name} mode tun{queues} vnet_hdr"
    return f"{make} && ip link set {link.name} mtu {link.mtu} alias {link.alias}"


def _ipip(link: IpipLink, verb: str) -> str:
    if verb != "add":
        return f"ip link {verb} {link.name}"
    ends = f"type ipip local {link.local} remote any nopmtudisc"
    return f"ip link add {link.name} mtu {link.mtu} alias {link.alias} {ends}"


def _ipip_change(link: IpipLink, previous: IpipLink) -> str:
    words = [_words(link, previous, (("mtu", "mtu"), ("alias", "alias")))]
    if link.local != previous.local:
        words.append(f"type ipip local {link.local} remote any nopmtudisc")
    return f"ip link set {link.name} {' '.join(filter(None, words))}"


def _wireguard(link: WireguardLink, verb: str) -> str:
    if verb != "add":
        return f"ip link {verb} {link.name}"
    return f"ip link add {link.name} mtu {link.mtu} alias {link.alias} type wireguard"


def _wg_peer(peer: WgPeer, verb: str) -> str:
    head = f"wg set {peer.link} peer {peer.public_key}"
    if verb == "del":
        return f"{head} remove"
    where = f"[{peer.endpoint}]" if peer.endpoint.version == 6 else str(peer.endpoint)
    psk = f" preshared-key <{peer.psk}>" if peer.psk else ""
    keepalive = f" persistent-keepalive {peer.keepalive}" if peer.keepalive else ""
    allowed = ",".join(map(str, peer.allowed))
    return f"{head}{psk} endpoint {where}:{peer.port}{keepalive} allowed-ips {allowed}"


def _tunnel_end(end: TunnelEnd, verb: str) -> str:
    if verb in {"del", "show"}:
        return f"tunnel {verb} dev {end.link}"
    plane = ("kernel" if end.fast else "user") + (" quiet" if end.quiet else "")
    where = f"underlay {end.underlay} local {end.local} port {end.port}"
    return f"tunnel {verb} dev {end.link} {where} subnet {end.own} mtu {end.mtu} plane {plane}"


def _blackhole(route: Blackhole, verb: str) -> str:
    family = "-6 " if route.destination.version == 6 else ""
    return f"ip {family}route {verb} blackhole {route.destination} proto {route.proto} metric {route.metric}"


def _route(route: Route, verb: str) -> str:
    family = "-6 " if route.destination.version == 6 else ""
    via = f" via {route.gateway}" if route.gateway is not None else ""
    onlink = " onlink" if route.onlink else ""
    table = f" table {route.table}" if route.table != MAIN_TABLE else ""
    metric = f" metric {route.metric}" if route.metric else ""
    hop = f"{route.destination}{via} dev {route.link}{onlink}"
    return f"ip {family}route {verb} {hop} proto {route.proto}{table}{metric}"
