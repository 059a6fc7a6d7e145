"""A link's devices in the kernel: made, looked at and removed by netlink from within a namespace.

The pair is made by one request, each device in its own namespace at once: none of it ever stands in the host's, and a
name that is taken in either makes the kernel refuse all of it.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from flanpy.errors import KernelError
from flanpy.model.address import IPAddress
from flanpy.netlink import numbers
from flanpy.netlink.blocking import BlockingSocket, Request
from flanpy.netlink.framing import U32, attribute, attributes, text
from flanpy.netlink.rtnl import (
    DELLINK,
    GETADDR,
    GETLINK,
    IFA,
    IFF_UP,
    IFLA,
    NEWADDR,
    NEWLINK,
    NEWROUTE,
    RTA,
    SETLINK,
)

KIND: Final = b"veth"
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1  # IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_OPER_UP: Final = 6  # IF_OPER_UP, RFC 2863
_RUNNING_S: Final = 3.0
_STEP_S: Final = 0.01
_NODAD: Final = 0x02
_TABLE_MAIN, _PROTO_STATIC, _SCOPE_LINK, _UNICAST = 254, 4, 253, 1
_NEW: Final = numbers.ACK | numbers.CREATE | numbers.EXCL


@dataclass(frozen=True, slots=True)
class Wire:
    """One end as its own namespace has it: the device, its address, and that of the other end."""

    device: str
    address: IPAddress
    other: IPAddress


@contextmanager
def routing() -> Iterator[BlockingSocket]:
    """Open a socket in the namespace of this thread."""
    netlink = BlockingSocket(socket.NETLINK_ROUTE)
    try:
        yield netlink
    finally:
        netlink.close()


def make(device: str, other_namespace: int) -> None:
    """Make the pair: one device here, one of the same name in the other namespace. Raises KernelError."""
    name = attribute(IFLA["IFLA_IFNAME"], device.encode() + b"\0")
    there = _LINK.pack(0, 0, 0, 0, 0) + name
    there += attribute(IFLA["IFLA_NET_NS_FD"], U32.pack(other_namespace))
    info = attribute(_INFO_KIND, KIND) + attribute(
        _INFO_DATA | numbers.NESTED, attribute(_VETH_PEER | numbers.NESTED, there)
    )
    body = _LINK.pack(0, 0, 0, 0, 0) + name + attribute(IFLA["IFLA_LINKINFO"] | numbers.NESTED, info)
    with routing() as netlink:
        netlink.change(Request(NEWLINK, _NEW, body))


def set_up(wire: Wire) -> None:
    """Give the device here its address, put it up, and lead to the other end by it. Raises KernelError."""
    with routing() as netlink:
        index = _index(netlink, wire.device)
        if index is None:
            raise KernelError(f"{wire.device} is gone", errno=errno.ENODEV)
        netlink.change(Request(NEWADDR, _NEW, _address(wire, index)))
        netlink.change(Request(SETLINK, 0, _LINK.pack(0, 0, index, IFF_UP, IFF_UP)))
        netlink.change(Request(NEWROUTE, _NEW, _route(wire, index)))


def wait_until_running(device: str) -> None:
    """Wait until the kernel sends by the device here, a moment after both ends are up; for a while, not without end."""
    with routing() as netlink:
        deadline = time.monotonic() + _RUNNING_S
        while _index(netlink, device, _carries) is None and time.monotonic() < deadline:
            time.sleep(_STEP_S)


def remove(device: str) -> bool:
    """Remove the device here, and so both; False if there is none. One of another kind is none of ours."""
    with routing() as netlink:
        index = _index(netlink, device)
        if index is None:
            return False
        try:
            netlink.change(Request(DELLINK, 0, _LINK.pack(0, 0, index, 0, 0)))
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise
        return True


def addresses() -> frozenset[IPAddress]:
    """Return every address of this namespace."""
    with routing() as netlink:
        return frozenset(ip_address(packed) for _, packed in _each_address(netlink))


def stands(wire: Wire) -> bool:
    """Report whether the device here is up and has its address."""
    with routing() as netlink:
        index = _index(netlink, wire.device, _is_up)
        return index is not None and (index, wire.address.packed) in set(_each_address(netlink))


def _each_address(netlink: BlockingSocket) -> Iterator[tuple[int, bytes]]:
    """Yield the index of its device and each address; of IPv6 the kernel tells no IFA_LOCAL."""
    for answer in netlink.dump(GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
        told = attributes(answer.body, _ADDRESS.size, len(answer.body))
        packed = told.get(IFA["IFA_LOCAL"]) or told.get(IFA["IFA_ADDRESS"]) or b""
        if len(packed) in {4, 16}:
            yield int(_ADDRESS.unpack_from(answer.body)[4]), packed


def _is_up(flags: int, _told: Mapping[int, bytes]) -> bool:
    return bool(flags & IFF_UP)


def _carries(_flags: int, told: Mapping[int, bytes]) -> bool:
    """Report whether the kernel has activated the device; IFF_RUNNING is set before, while that is not known."""
    return told.get(IFLA["IFLA_OPERSTATE"]) == bytes([_OPER_UP])


def _index(
    netlink: BlockingSocket, device: str, fits: Callable[[int, Mapping[int, bytes]], bool] | None = None
) -> int | None:
    """Return the index of our device, None if there is none, or it does not fit by its flags and attributes."""
    for answer in netlink.dump(GETLINK, _LINK.pack(0, 0, 0, 0, 0)):
        told = attributes(answer.body, _LINK.size, len(answer.body))
        if text(told.get(IFLA["IFLA_IFNAME"], b"")) != device:
            continue
        info = told.get(IFLA["IFLA_LINKINFO"], b"")
        kind = attributes(info, 0, len(info)).get(_INFO_KIND, b"")
        _, _, index, has, _ = _LINK.unpack_from(answer.body)
        if kind.rstrip(b"\0") == KIND and (fits is None or fits(has, told)):
            return int(index)
    return None


def _address(wire: Wire, index: int) -> bytes:
    family = socket.AF_INET if wire.address.version == 4 else socket.AF_INET6
    own = wire.address.packed
    body = _ADDRESS.pack(
        family, wire.address.max_prefixlen, _NODAD if family == socket.AF_INET6 else 0, 0, index
    )
    return body + attribute(IFA["IFA_LOCAL"], own) + attribute(IFA["IFA_ADDRESS"], own)


def _route(wire: Wire, index: int) -> bytes:
    family = socket.AF_INET if wire.other.version == 4 else socket.AF_INET6
    head = _ROUTE.pack(
        family, wire.other.max_prefixlen, 0, 0, _TABLE_MAIN, _PROTO_STATIC, _SCOPE_LINK, _UNICAST, 0
    )
    return (
        head
        + attribute(RTA["RTA_DST"], wire.other.packed)
        + attribute(RTA["RTA_OIF"], U32.pack(index))
        + attribute(RTA["RTA_PREFSRC"], wire.address.packed)
    )
