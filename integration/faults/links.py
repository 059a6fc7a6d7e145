"""Owns what others do to the overlay's own device, routes and entries: P07, P11, P12, P13, P14, P22.

flanpyd undoes most of these within a second. Leaving such a block therefore waits for that, and does nothing itself.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from integration.faults.problem import Stage, Struck
from integration.hosts.host import Host
from integration.net.namespaces import in_namespace, set_sysctls, sysctl
from integration.net.waiting import wait_until

DEVICE = "flannel.1"
DEVICE6 = "flannel-v6.1"
HEALED_S = 10.0
SIOCETHTOOL = 0x8946
GET_TX_CHECKSUM, SET_TX_CHECKSUM = 0x16, 0x17  # ETHTOOL_GTXCSUM and ETHTOOL_STXCSUM of linux/ethtool.h


@contextmanager
def healing(struck: Struck, blow: Callable[[], object]) -> Iterator[Struck]:
    """Strike, and at the end wait until flanpyd has put it right."""
    blow()
    try:
        yield struck
    finally:
        wait_until(lambda: not struck.is_broken(), f"{struck.host.name} is healed", deadline=HEALED_S)


def device_vanishes(stage: Stage) -> Iterator[Struck]:
    """P11: somebody deletes the device."""
    host = stage.hosts[0]
    struck = Struck(host, (DEVICE,), lambda: not host.has_link(DEVICE))
    with healing(struck, lambda: host.ip(f"link del {DEVICE}")):
        yield struck


def _mac(host: Host) -> str:
    return str(host.ip_json("link", "show", "dev", DEVICE)[0]["address"])


def mac_changes(stage: Stage) -> Iterator[Struck]:
    """P12: udev or networkd gives the device another MAC."""
    host = stage.hosts[0]
    before = _mac(host)
    struck = Struck(host, (DEVICE, before), lambda: _mac(host) != before)
    with healing(struck, lambda: host.ip(f"link set {DEVICE} address 02:12:12:12:12:12")):
        yield struck


def routes_vanish(stage: Stage) -> Iterator[Struck]:
    """P13: a network manager removes the routes to all peers."""
    host = stage.hosts[0]
    ours = sorted(to for to, route in host.routes().items() if route.get("dev") == DEVICE)

    def is_broken() -> bool:
        return not set(ours) <= host.routes().keys()

    struck = Struck(host, tuple(ours), is_broken)
    with healing(struck, lambda: host.ip(*(f"route del {to}" for to in ours))):
        yield struck


def _towards(host: Host, mac: str) -> str:
    rows = host.bridge_json("fdb", "show", "dev", DEVICE)
    return next((str(row.get("dst")) for row in rows if row["mac"] == mac), "")


def entry_is_stale(stage: Stage) -> Iterator[Struck]:
    """P14: the entry of a peer leads to an address where nobody is any more."""
    host, peer = stage.hosts[:2]
    rows = host.bridge_json("fdb", "show", "dev", DEVICE)
    mac = next(str(row["mac"]) for row in rows if row.get("dst") == peer.address)
    struck = Struck(host, (mac, peer.address), lambda: _towards(host, mac) != peer.address)
    wrong = f"fdb replace {mac} dev {DEVICE} dst 10.99.1.99 self permanent"
    with healing(struck, lambda: host.run("bridge", *wrong.split())):
        yield struck


def _offload(host: Host, *, switch: bool | None = None) -> bool:
    """`ethtool -k` (or -K) by the ioctl that every kernel has."""

    def ask() -> bool:
        command = GET_TX_CHECKSUM if switch is None else SET_TX_CHECKSUM
        value = array.array("I", [command, int(bool(switch))])
        request = struct.pack("16sP", DEVICE.encode(), value.buffer_info()[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            fcntl.ioctl(asked, SIOCETHTOOL, request)
        return bool(value[1])

    return in_namespace(host.namespace, ask)


def checksum_is_not_offloaded(stage: Stage) -> Iterator[Struck]:
    """P07: somebody switches checksum offload off, and TCP is cut into packets before the device."""
    host = stage.hosts[0]
    struck = Struck(host, (DEVICE, "tx-checksum-ip-generic"), lambda: not _offload(host))
    with healing(struck, lambda: _offload(host, switch=False)):
        yield struck


def ipv6_is_off(stage: Stage) -> Iterator[Struck]:
    """P22: IPv6 is switched off on the overlay's device."""
    host = stage.hosts[0]
    key = f"net/ipv6/conf/{DEVICE6}/disable_ipv6"
    set_sysctls(host.namespace, {key: "1"})
    try:
        yield Struck(host, ("disable_ipv6",), lambda: sysctl(host.namespace, key) == "1")
    finally:
        set_sysctls(host.namespace, {key: "0"})
