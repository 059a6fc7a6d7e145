"""An IPIP device as rtnetlink messages, both ways (linux/if_tunnel.h, net/ipv4/ipip.c). Must not: open a socket."""

from __future__ import annotations

from ipaddress import IPv4Address

from flanpy.model.ipip import IpipLink
from flanpy.model.objects import OtherLink
from flanpy.netlink import numbers, rtnl
from flanpy.netlink.framing import HEADER_SIZE, U32, attribute, attributes, frame, packed, text

_ATTRIBUTES_AT = HEADER_SIZE + 16
_NAME, _ALIAS, _MTU = rtnl.IFLA["IFLA_IFNAME"], rtnl.IFLA["IFLA_IFALIAS"], rtnl.IFLA["IFLA_MTU"]
_LINKINFO = rtnl.IFLA["IFLA_LINKINFO"]
_KIND, _DETAILS = 1, 2  # IFLA_INFO_KIND, IFLA_INFO_DATA
_LOCAL, _REMOTE, _PMTUDISC = 2, 3, 10  # IFLA_IPTUN_*
_ANY = bytes(4)


def creation(link: IpipLink) -> list[bytearray]:
    """Make the device, down, and give it its alias (which the kernel takes no notice of at creation).

    As flannel's it copies the DF bit of the packet inside (`nopmtudisc`).
    """
    attrs = attribute(_NAME, packed(link.name) + b"\0") + attribute(_MTU, U32.pack(link.mtu)) + _kind(link)
    create = frame(rtnl.NEWLINK, numbers.REQUEST | numbers.CREATE | numbers.EXCL, _header(0) + attrs)
    named = attribute(_NAME, packed(link.name) + b"\0") + attribute(_ALIAS, packed(link.alias))
    alias = frame(rtnl.SETLINK, numbers.REQUEST, _header(0) + named)
    return [create, alias] if link.alias else [create]


def change(link: IpipLink, previous: IpipLink, index: int) -> list[bytearray]:
    """Give the device another address of this host, if it has another."""
    if link.local == previous.local:
        return []
    return [frame(rtnl.NEWLINK, numbers.REQUEST, _header(index) + _kind(link))]


def decode(message: bytes, name: str, alias: str) -> IpipLink | OtherLink:
    """Read a device that sends to any host; one with a fixed far end is none that we make."""
    found = attributes(message, _ATTRIBUTES_AT, len(message))
    details = _details(found)
    if details.get(_REMOTE, _ANY) != _ANY:
        return OtherLink(name, "ipip", alias)
    mtu = U32.unpack(found[_MTU])[0]
    return IpipLink(name, IPv4Address(details.get(_LOCAL, _ANY)), mtu, alias)


def is_same(message: bytes, link: IpipLink) -> bool:
    """Report whether the message is of an IPIP device with the same two addresses."""
    found = attributes(message, _ATTRIBUTES_AT, len(message))
    info = attributes(found.get(_LINKINFO, b""), 0, len(found.get(_LINKINFO, b"")))
    ends = _details(found)
    return text(info.get(_KIND, b"")) == "ipip" and (ends.get(_LOCAL, _ANY), ends.get(_REMOTE, _ANY)) == (
        link.local.packed,
        _ANY,
    )


def _details(found: dict[int, bytes]) -> dict[int, bytes]:
    linkinfo = found.get(_LINKINFO, b"")
    details = attributes(linkinfo, 0, len(linkinfo)).get(_DETAILS, b"")
    return attributes(details, 0, len(details))


def _kind(link: IpipLink) -> bytes:
    details = attribute(_LOCAL, link.local.packed) + attribute(_REMOTE, _ANY) + attribute(_PMTUDISC, b"\0")
    return attribute(_LINKINFO, attribute(_KIND, b"ipip") + attribute(_DETAILS, details))


def _header(index: int) -> bytes:
    """Return the ifinfomsg: nothing but the link's index."""
    return bytes(4) + U32.pack(index) + bytes(8)
