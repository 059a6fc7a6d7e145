"""Owns a broken network card: it leaves inner checksums of VXLAN packets unmade. It is a relay on the host's cable."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.faults.objects import SIOCETHTOOL
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.net import namespaces, topology, unsummed
from integration.net.child import Child
from integration.net.waiting import wait_until

_VXLAN_PORT = 8472
_SET_TSO, _SET_GSO = 0x1F, 0x24  # ETHTOOL_STSO and ETHTOOL_SGSO of linux/ethtool.h


@contextmanager
def broken_card(lab: Lab, host: Host) -> Iterator[None]:
    """Packets of this host whose checksum is left to the card go out without; those that have one are let be."""
    switch, port = lab.plan.switch, host.seat.port
    inner, outer, bridge = f"{port}.in", f"{port}.out", topology.bridge_of(host.seat.segment)
    relay = Child(f"card of {host.name}", switch, log=lab.directory / f"card-{host.name}.log")
    _cut(host, enabled=False)
    namespaces.ip_batch(switch, [
        f"link add {inner} mtu 65535 type veth peer name {outer} mtu 65535",
        f"link set {port} nomaster",
        f"link set {inner} up",
        f"link set {outer} master {bridge} up",
    ])  # fmt: skip
    try:
        relay.start([sys.executable, "-I", "-S", str(Path(unsummed.__file__)), port, inner, str(_VXLAN_PORT)])
        wait_until(lambda: _relays(relay), f"{relay.name} runs", deadline=10)
        yield
    finally:
        relay.kill()
        namespaces.ip_batch(switch, [f"link del {inner}", f"link set {port} master {bridge}"])
        _cut(host, enabled=True)


def _cut(host: Host, *, enabled: bool) -> None:
    """Switch whether frames leave the host's link larger than its MTU: the relay cannot cut them."""

    def switch() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            for command in (_SET_TSO, _SET_GSO):
                value = array.array("I", [command, int(enabled)])
                request = struct.pack("16sP", host.seat.nic.encode(), value.buffer_info()[0])
                fcntl.ioctl(asked, SIOCETHTOOL, request)

    namespaces.in_namespace(host.namespace, switch)


def _relays(relay: Child) -> bool:
    if not relay.running:
        raise namespaces.LabError(f"{relay.name} ended: {relay.log_tail()}")
    return "relaying" in relay.log_text()
