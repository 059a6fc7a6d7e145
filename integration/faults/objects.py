"""Faults of the kernel's objects: what the daemon put there is deleted, flushed, altered or doubled. Only it mends it.

Most are lines of shell that somebody types, filled from a `Target`: an overlay device and, where a line names a
subnet, a VTEP address or a MAC, what the kernel itself holds for one peer. Nothing of the daemon's code is used.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from integration.faults.fault import Evidence, Family, Fault, Part, Setting, Strike, StrikeContext
from integration.hosts.host import Host
from integration.net.namespaces import LabError, in_namespace, set_sysctls, sysctl
from integration.truth.fabric import VXLAN, Device
from integration.truth.standing import standing

OTHER_MAC = "02:66:66:66:66:66"
NOWHERE = {"-4": "10.99.200.200", "-6": "fd99:1::200:200"}
SIOCETHTOOL = 0x8946
GET_TX_CHECKSUM, SET_TX_CHECKSUM = 0x16, 0x17  # ETHTOOL_GTXCSUM and ETHTOOL_STXCSUM of linux/ethtool.h
FLAPPING = "FlanpyFlapping"
AGAIN = "a second; again and again until it is an alert"
_NONE = Device("", "-4", 0)
_TUNNELS = frozenset({"vxlan", "udp", "ipip", "wireguard", "dual"})
_VXLANS = frozenset({"vxlan", "dual"})
_PLAIN_VXLAN, _HOST_GW = frozenset({"vxlan"}), frozenset({"host-gw"})
_IPV4_TUNNELS = frozenset({"vxlan", "udp", "ipip", "wireguard"})


@dataclass(frozen=True, slots=True)
class Target:
    """The values that fill a line; parts that a line does not name may be empty."""

    device: str
    family: str
    proto: str
    nowhere: str
    nic: str
    own_mac: str = ""
    subnet: str = ""
    link: str = ""
    vtep: str = ""
    mac: str = ""
    peer: str = ""

    def fill(self, line: str) -> str:
        """Return the line with the names of this target."""
        return line.format(**{name: getattr(self, name) for name in self.__slots__})


def device_of(context: StrikeContext) -> Device:
    """Return one of the overlay's devices; one without a name where packets are routed as they are."""
    return context.choose(context.fabric.devices) if context.fabric.devices else _NONE


def targets(context: StrikeContext, line: str) -> list[Target]:
    """Return what the line can strike: one target for each peer that the kernel knows in the table that it names."""
    host, device = context.host, device_of(context)
    proto = host.daemon.program.marks.proto or "boot"
    own = _mac(host, device.name) if "{own_mac}" in line else ""
    base = partial(
        Target, device.name, device.family, proto, NOWHERE[device.family], host.seat.nic, own_mac=own
    )
    if "{vtep}" in line:
        rows = host.ip_json("neigh", "show", "dev", device.name, "nud", "permanent")
        return [base(vtep=row["dst"], mac=row.get("lladdr", "")) for row in rows]
    if "{mac}" in line:
        rows = host.bridge_json("fdb", "show", "dev", device.name)
        return [base(mac=row["mac"], peer=row["dst"]) for row in rows if "dst" in row]
    if "{subnet}" in line:
        rows = host.ip_json(device.family, "route", "show", "proto", proto)
        return [base(subnet=row["dst"], link=row["dev"], peer=row.get("gateway", "")) for row in rows]
    return [base()]


def typed(line: str, *, words: str = "{device}", every: bool = False) -> Strike:
    """Return the strike that is a line of shell, for some peers by the dice; without, for the first or `every` one.

    `words` are what a finding must name. Evidence is that another set of objects stands than before.
    """

    def strike(context: StrikeContext) -> Iterator[Evidence | None]:
        host, found = context.host, sorted(targets(context, line + words), key=str)
        before = set() if context.dice else standing(host)
        some = context.some(found)
        some = some if every or context.dice else some[:1]
        for target in some:
            host.run("sh", "-c", target.fill(line), check=len(some) == 1 and context.dice is None)
        said = tuple(dict.fromkeys(word for target in some for word in target.fill(words).split()))
        yield Evidence(host, said, lambda: standing(host) != before)

    return strike


def _mac(host: Host, name: str) -> str:
    return str(host.ip_json("link", "show", "dev", name)[0]["address"])


def _deleted_thrice(context: StrikeContext) -> Iterator[Evidence | None]:
    """The device, then again as soon as it is back: three times."""
    device = device_of(context).name
    for _ in range(3):
        context.host.run("ip", "link", "del", device, check=False)
        context.pause(context.between(0.03, context.lasts / 3))
    yield Evidence(context.host, (device,), lambda: not context.host.has_link(device))


def _replaced(context: StrikeContext) -> Iterator[Evidence | None]:
    """Somebody makes a device of the same name that differs from ours in what cannot be changed."""
    port = context.choose((4789, 8472))
    how = f"type vxlan id 1 dstport {port} local {context.host.address} learning"
    name = VXLAN.devices[0].name
    context.host.run("ip", "link", "del", name)
    context.host.run(*f"ip link add {name} {how}".split(), check=False)  # the daemon may have been faster
    yield None


def _foreign_churn(context: StrikeContext) -> Iterator[Evidence | None]:
    """Thousands of routes of others come and go, more than a netlink socket holds."""
    adds = "\n".join(f"route add 198.18.{n // 250}.{n % 250} via 198.19.0.9 table 4343" for n in range(4000))
    context.host.run("ip", "link", "add", "foreignbr", "type", "bridge", check=False)  # chaos has planted it
    context.host.run("ip", "link", "set", "foreignbr", "up")
    context.host.run("ip", "addr", "add", "198.19.0.1/24", "dev", "foreignbr", check=False)
    for _ in range(2):
        context.host.run("ip", "-batch", "-", stdin=adds + "\n")
        context.host.run("ip", "route", "flush", "table", "4343")
    yield None


def offload(host: Host, *, switch: bool | None = None) -> bool:
    """Return whether checksums are left to the device: `ethtool -k` (or -K) by the ioctl that every kernel has."""

    def ask() -> bool:
        command = GET_TX_CHECKSUM if switch is None else SET_TX_CHECKSUM
        value = array.array("I", [command, int(bool(switch))])
        request = struct.pack("16sP", VXLAN.devices[0].name.encode(), value.buffer_info()[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            fcntl.ioctl(asked, SIOCETHTOOL, request)
        return bool(value[1])

    return in_namespace(host.namespace, ask)


def _checksum_not_offloaded(context: StrikeContext) -> Iterator[Evidence | None]:
    """Somebody switches checksum offload off, and TCP is cut into packets before the device."""
    host = context.host
    try:
        offload(host, switch=False)
    except OSError as error:
        raise LabError(f"{host.name}: no device to switch offload off: {error}") from error
    yield Evidence(host, (VXLAN.devices[0].name, "tx-checksum-ip-generic"), lambda: not offload(host))


def _ipv6_off(context: StrikeContext) -> Iterator[Evidence | None]:
    """IPv6 is switched off on the overlay's device."""
    host = context.host
    key = "net/ipv6/conf/flannel-v6.1/disable_ipv6"
    set_sysctls(host.namespace, {key: "1"})
    yield Evidence(host, ("disable_ipv6",), lambda: sysctl(host.namespace, key) == "1")


def _sysctl(key: Callable[[StrikeContext], str], value: str) -> Strike:
    def strike(context: StrikeContext) -> Iterator[Evidence | None]:
        host, name = context.host, key(context)
        set_sysctls(host.namespace, {name: value})
        yield Evidence(host, (name.rpartition("/")[2],), lambda: sysctl(host.namespace, name) == value)

    return strike


reverse_path_strict = _sysctl(
    lambda context: f"net/ipv4/conf/{context.fabric.devices[0].name}/rp_filter", "1"
)
forwarding_off = _sysctl(lambda _context: "net/ipv4/ip_forward", "0")

_object = partial(Fault, family=Family.KERNEL, part=Part.DEVICE, lasts=(0.1, 0.2), heals=True)
_tunnel = partial(_object, fabrics=_TUNNELS)
_vxlan = partial(_object, fabrics=_VXLANS)

FIRST = (
    _tunnel(name="device_deleted", title="the device vanishes", strike=typed("ip link del {device}"),
            problem="P11", alert=FLAPPING, settle=AGAIN),
    _tunnel(name="device_deleted_thrice", title="the device vanishes three times", strike=_deleted_thrice,
            lasts=(0.5, 3)),
    _tunnel(name="device_down", title="the device is set down", strike=typed("ip link set {device} down")),
    _vxlan(name="device_mac", title="the device's MAC changes",
           strike=typed(f"ip link set {{device}} address {OTHER_MAC}", words="{device} {own_mac}"),
           problem="P12", alert=FLAPPING, settle=AGAIN),
    _tunnel(name="device_mtu", title="the device's MTU changes",
            strike=typed("ip link set {device} mtu 1280"), breaks=False),
    _tunnel(name="address_flushed", title="the device loses its address",
            strike=typed("ip {family} addr flush dev {device}")),
    _object(name="routes_flushed", title="all routes are flushed",
            strike=typed("ip -4 route flush proto {proto}; ip -6 route flush proto {proto}")),
    _object(name="routes_deleted", title="routes are removed",
            strike=typed("ip {family} route del {subnet} dev {link}", words="{subnet}", every=True),
            problem="P13", alert=FLAPPING, settle=AGAIN),
    _object(name="routes_altered", title="routes lead elsewhere",
            strike=typed("ip {family} route replace {subnet} via {nowhere} dev {link} onlink proto {proto}")),
    _vxlan(name="fdb_deleted", title="FDB entries are removed",
           strike=typed("bridge fdb del {mac} dev {device} dst {peer} self permanent")),
    _vxlan(name="fdb_altered", title="an entry of a peer is altered",
           strike=typed("bridge fdb replace {mac} dev {device} dst {nowhere} self permanent",
                        words="{mac} {peer}"),
           problem="P14", alert=FLAPPING, settle=AGAIN),
    _vxlan(name="fdb_added", title="FDB entries of nobody appear",
           strike=typed("for n in 0 1 2 3 4 5 6 7; do bridge fdb add 02:66:66:66:66:0$n dev {device}"
                        " dst {nowhere} self permanent; done"), breaks=False),
    _vxlan(name="neighbours_deleted", title="neighbours are removed",
           strike=typed("ip neigh del {vtep} dev {device}")),
    _vxlan(name="neighbours_altered", title="neighbours have another MAC",
           strike=typed(f"ip neigh replace {{vtep}} lladdr {OTHER_MAC} dev {{device}} nud permanent")),
    _vxlan(name="device_replaced", title="another device has the name", strike=_replaced),
    _object(name="foreign_churn", title="thousands of foreign routes come and go", strike=_foreign_churn,
            lasts=(0.5, 1.5), breaks=False, heals=False),
    _tunnel(name="rp_filter_strict", title="the overlay's reverse-path filter is made strict",
            strike=reverse_path_strict, breaks=False, problem="P05", alert=FLAPPING, settle=AGAIN),
    _object(name="forwarding_off", title="ip_forward is reset", strike=forwarding_off, problem="P04",
            alert=FLAPPING, settle=AGAIN),
)  # fmt: skip

MORE = (
    _tunnel(name="device_bounced", title="the device is set down and up",
            strike=typed("ip link set {device} down; ip link set {device} up")),
    _tunnel(name="device_renamed", title="the device is renamed",
            strike=typed("ip link set {device} down; ip link set {device} name lost0")),
    _tunnel(name="device_unmarked", title="the device loses its alias",
            strike=typed("ip link set {device} alias ''"), breaks=False),
    _object(name="address_added", title="the device has a second address", breaks=False,
            strike=typed("ip address add 10.50.254.77/32 dev {device}"), fabrics=_IPV4_TUNNELS),
    _vxlan(name="device_learning", title="the device learns",
           strike=typed("ip link set {device} type vxlan id 1 learning"), breaks=False),
    _object(name="device_local", title="the device sends from another address", fabrics=_PLAIN_VXLAN,
            strike=typed("ip link set {device} type vxlan id 1 local 127.0.0.1")),
    _vxlan(name="neighbours_aging", title="neighbours may age",
           strike=typed("ip neigh replace {vtep} lladdr {mac} dev {device} nud reachable")),
    _vxlan(name="neighbours_flushed", title="all neighbours are flushed",
           strike=typed("ip {family} neigh flush dev {device} nud permanent")),
    _object(name="neighbour_added", title="a neighbour of nobody appears", fabrics=_PLAIN_VXLAN, breaks=False,
            strike=typed("ip neigh add 10.50.254.78 lladdr {mac} dev {device} nud permanent")),
    _vxlan(name="fdb_flooding", title="an FDB entry of everybody appears", breaks=False,
           strike=typed("bridge fdb append 00:00:00:00:00:00 dev {device} dst {nowhere} self permanent")),
    _object(name="routes_doubled", title="routes of ours are there twice", breaks=False,
            strike=typed("ip {family} route add {subnet} dev {link} proto {proto} metric 77")),
    _object(name="route_to_nobody", title="a route of ours to nobody appears", fabrics=_IPV4_TUNNELS,
            strike=typed("ip route add 10.50.253.0/24 dev {device} proto {proto}"), breaks=False),
    _object(name="direct_route_to_nobody", title="a route of ours to nobody appears", fabrics=_HOST_GW,
            strike=typed("ip route add 10.50.253.0/24 via {peer} dev {nic} proto {proto}  # {subnet}"),
            breaks=False),
    _object(name="direct_routes_doubled", title="routes of another metric stand beside ours", fabrics=_HOST_GW,
            strike=typed("ip route add {subnet} via {peer} dev {nic} proto {proto} metric 77"), breaks=False),
    _object(name="all_changed", title="MAC, MTU, routes, neighbours and FDB at once", fabrics=_PLAIN_VXLAN,
            strike=typed(f"ip link set {{device}} address {OTHER_MAC}; ip route flush proto {{proto}};"
                         " ip neighbour flush dev {device} nud permanent; bridge fdb del {mac} dev {device};"
                         " ip link set {device} mtu 1280")),
    _object(name="nic_bounced", title="the underlay's NIC is set down and up", fabrics=_HOST_GW,
            strike=typed("ip link set {nic} down; ip link set {nic} up"),
            dice="takes the default route along, which is nobody's to put back"),
    _vxlan(name="checksum_not_offloaded", title="checksum offload is switched off", strike=_checksum_not_offloaded,
           problem="P07", alert=FLAPPING, settle=AGAIN),
    _vxlan(name="ipv6_off", title="IPv6 is off on the overlay's device", strike=_ipv6_off, fabrics=frozenset({"dual"}),
           setting=Setting(hosts=2, ipv6=True)),
)  # fmt: skip

FAULTS = (*FIRST, *MORE)
