"""Owns a broken network card: it leaves inner checksums of VXLAN packets unmade. It is a relay on the host's cable."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from integration.faults.means.spliced import spliced
from integration.faults.objects import SIOCETHTOOL
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.net import namespaces

_VXLAN_PORT = 8472
_SET_TSO, _SET_GSO = 0x1F, 0x24  # ETHTOOL_STSO and ETHTOOL_SGSO of linux/ethtool.h


@contextmanager
def broken_card(lab: Lab, host: Host) -> Iterator[None]:
    """Packets of this host whose checksum is left to the card go out without; those that have one are let be."""
    _cut(host, enabled=False)
    seat = host.seat
    try:
        with spliced(lab.plan.switch, seat.port, seat.segment, lab.directory, "unsummed", str(_VXLAN_PORT)):
            yield
    finally:
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
