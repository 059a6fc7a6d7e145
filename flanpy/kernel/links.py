"""Links and addresses as rtnetlink messages, by pyroute2's message types.

Owns the wire format of a VxlanLink, both ways, and the reading of a TUN device (`kernel.ipip` has that of an IpipLink).
Must not: open a socket, or choose what to write.
pyroute2 silently drops attributes that it does not know, so the creator of a link reads it back and compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, ip_address, ip_interface
from typing import Any

from flanpy.kernel import ipip
from flanpy.model.address import Family, IPAddress, IPInterface, Mac
from flanpy.model.ipip import IpipLink
from flanpy.model.objects import Address, Link, OtherLink, OwnLink, TunLink, VxlanLink
from flanpy.model.wireguard import WireguardLink
from flanpy.netlink import numbers, rtnl
from flanpy.netlink.framing import HEADER_SIZE, U32, attribute, attributes, frame, packed, text

_IFINFOMSG_ATTRIBUTES_AT = HEADER_SIZE + 16
_IFADDRMSG_ATTRIBUTES_AT = HEADER_SIZE + 8
_FLAGS_AT, _INDEX_AT = HEADER_SIZE + 8, HEADER_SIZE + 4
_NAME, _ALIAS, _MASK = rtnl.IFLA["IFLA_IFNAME"], rtnl.IFLA["IFLA_IFALIAS"], rtnl.IFLA["IFLA_EXT_MASK"]
_MASTER = rtnl.IFLA["IFLA_MASTER"]
_SKIP_STATISTICS = 8  # RTEXT_FILTER_SKIP_STATS
_NODAD = 0x02
_SCOPE_LINK = 253
# linux/if_link.h: IFLA_INFO_KIND, IFLA_INFO_DATA, and in the latter of a TUN device IFLA_TUN_*
_INFO_KIND, _INFO_DATA = 1, 2
_TUN_TYPE, _TUN_PERSIST, _TUN_MULTI_QUEUE = 3, 6, 7
_IS_TUN = b"\x01"


@dataclass(frozen=True, slots=True)
class SeenLink:
    """A link as dumped: the fields needed of every link, and the message for the few that are of interest."""

    index: int
    name: str
    alias: str
    up: bool
    message: bytes


def link_dump() -> bytearray:
    """Return the RTM_GETLINK dump request of all links, without statistics."""
    body = bytes(16) + attribute(_MASK, U32.pack(_SKIP_STATISTICS))
    return frame(rtnl.GETLINK, numbers.REQUEST | numbers.DUMP, body)


def link_question(name: str) -> bytearray:
    """Return the RTM_GETLINK request for one link."""
    body = bytes(16) + attribute(_NAME, packed(name) + b"\0") + attribute(_MASK, U32.pack(_SKIP_STATISTICS))
    return frame(rtnl.GETLINK, numbers.REQUEST, body)


def seen_link(buffer: bytes, start: int, end: int) -> SeenLink:
    found = attributes(buffer, start + _IFINFOMSG_ATTRIBUTES_AT, end)
    return SeenLink(
        index=U32.unpack_from(buffer, start + _INDEX_AT)[0],
        name=text(found.get(_NAME, b"")),
        alias=text(found.get(_ALIAS, b"")),
        up=bool(U32.unpack_from(buffer, start + _FLAGS_AT)[0] & rtnl.IFF_UP),
        message=buffer[start:end],
    )


def decode(seen: SeenLink, names: Mapping[int, str]) -> Link:
    """Decode the whole link. A parent missing from `names` is in another namespace or gone; its index is its name."""
    tun = _tun(seen)
    if tun is not None:
        return tun
    message = rtnl.LinkMessage(seen.message)
    message.decode()
    linkinfo = message.get_attr("IFLA_LINKINFO")
    kind = linkinfo.get_attr("IFLA_INFO_KIND") if linkinfo else None
    details = linkinfo.get_attr("IFLA_INFO_DATA") if linkinfo else None
    if kind == "wireguard":
        return WireguardLink(seen.name, message.get_attr("IFLA_MTU"), seen.alias)
    if kind == "ipip":
        return ipip.decode(seen.message, seen.name, seen.alias)
    if kind != "vxlan" or details is None:
        return OtherLink(seen.name, kind or "physical", seen.alias)
    parent = details.get_attr("IFLA_VXLAN_LINK") or 0
    return VxlanLink(
        name=seen.name,
        vni=details.get_attr("IFLA_VXLAN_ID"),
        port=details.get_attr("IFLA_VXLAN_PORT"),
        parent=names.get(parent, f"if{parent}" if parent else ""),
        local=_local(details),
        mac=Mac.parse(message.get_attr("IFLA_ADDRESS")),
        mtu=message.get_attr("IFLA_MTU"),
        learning=bool(details.get_attr("IFLA_VXLAN_LEARNING")),
        gbp=details.get_attr("IFLA_VXLAN_GBP") is not None,
        alias=seen.alias,
    )


def master_of(seen: SeenLink) -> int:
    """Return the index of the bridge, bond or VRF that has the link, 0 if none has."""
    packed_index = attributes(seen.message, _IFINFOMSG_ATTRIBUTES_AT, len(seen.message)).get(_MASTER)
    return U32.unpack(packed_index)[0] if packed_index else 0


def _tun(seen: SeenLink) -> TunLink | None:
    """Decode a TUN device that stays (not a TAP device, nor one that goes with the process that opened it)."""
    found = attributes(seen.message, _IFINFOMSG_ATTRIBUTES_AT, len(seen.message))
    linkinfo = found.get(rtnl.IFLA["IFLA_LINKINFO"], b"")
    info = attributes(linkinfo, 0, len(linkinfo))
    if text(info.get(_INFO_KIND, b"")) != "tun":
        return None
    details = attributes(info.get(_INFO_DATA, b""), 0, len(info.get(_INFO_DATA, b"")))
    if details.get(_TUN_TYPE) != _IS_TUN or not any(details.get(_TUN_PERSIST, b"")):
        return None
    return TunLink(
        name=seen.name,
        mtu=U32.unpack(found[rtnl.IFLA["IFLA_MTU"]])[0],
        multi_queue=any(details.get(_TUN_MULTI_QUEUE, b"")),
        alias=seen.alias,
    )


def _local(details: Any) -> IPAddress:
    local = details.get_attr("IFLA_VXLAN_LOCAL") or details.get_attr("IFLA_VXLAN_LOCAL6")
    return ip_address(local) if local else IPv4Address(0)


def creation(link: VxlanLink, parent: int) -> list[bytearray]:
    """Make the device, down, and give it its alias (which the kernel takes no notice of at creation)."""
    details = [
        ("IFLA_VXLAN_ID", link.vni),
        ("IFLA_VXLAN_LINK", parent),
        _local_attribute(link.local),
        ("IFLA_VXLAN_LEARNING", int(link.learning)),
        ("IFLA_VXLAN_PORT", link.port),
    ]
    if link.gbp:  # a flag: its presence counts, whatever its value
        details.append(("IFLA_VXLAN_GBP", None))
    attrs = [("IFLA_IFNAME", link.name), ("IFLA_MTU", link.mtu), ("IFLA_ADDRESS", str(link.mac))]
    create = _link_message(rtnl.NEWLINK, flags=numbers.CREATE | numbers.EXCL, attrs=[*attrs, _vxlan(details)])
    alias = _link_message(rtnl.SETLINK, attrs=[("IFLA_IFNAME", link.name), ("IFLA_IFALIAS", link.alias)])
    return [create, alias] if link.alias else [create]


def change(link: VxlanLink, previous: VxlanLink, index: int, parent: int) -> list[bytearray]:
    """Change in place what the kernel can change; `vni`, `port` and `gbp` need a new device."""
    plain: list[tuple[str, Any]] = []
    if link.mac != previous.mac:
        plain.append(("IFLA_ADDRESS", str(link.mac)))
    if link.alias != previous.alias:
        plain.append(("IFLA_IFALIAS", link.alias))
    changes = []
    if (link.local, link.parent, link.learning) != (previous.local, previous.parent, previous.learning):
        details = [
            ("IFLA_VXLAN_ID", link.vni),
            ("IFLA_VXLAN_LINK", parent),
            _local_attribute(link.local),
            ("IFLA_VXLAN_LEARNING", int(link.learning)),
        ]
        changes.append(_link_message(rtnl.NEWLINK, index=index, attrs=[_vxlan(details)]))
    if link.mtu != previous.mtu:  # after the parent, whose MTU bounds it
        plain.append(("IFLA_MTU", link.mtu))
    if plain:
        changes.append(_link_message(rtnl.NEWLINK, index=index, attrs=plain))
    return changes


_Settled = TunLink | IpipLink | WireguardLink


def wireguard_creation(link: WireguardLink) -> list[bytearray]:
    """Make the device, down, without key and peers, and give it its alias."""
    attrs = [
        ("IFLA_IFNAME", link.name),
        ("IFLA_MTU", link.mtu),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "wireguard")]}),
    ]
    create = _link_message(rtnl.NEWLINK, flags=numbers.CREATE | numbers.EXCL, attrs=attrs)
    alias = _link_message(rtnl.SETLINK, attrs=[("IFLA_IFNAME", link.name), ("IFLA_IFALIAS", link.alias)])
    return [create, alias] if link.alias else [create]


def settled(link: _Settled, previous: _Settled | None, index: int) -> list[bytearray]:
    """Give a device its alias and MTU, as far as `previous` has others."""
    attrs: list[tuple[str, Any]] = []
    if previous is None or link.alias != previous.alias:
        attrs.append(("IFLA_IFALIAS", link.alias))
    if previous is None or link.mtu != previous.mtu:
        attrs.append(("IFLA_MTU", link.mtu))
    return [_link_message(rtnl.NEWLINK, index=index, attrs=attrs)] if attrs else []


def needs_new_device(link: VxlanLink, previous: VxlanLink) -> bool:
    """Report whether the links differ in an attribute that the kernel never changes on an existing device."""
    return (link.vni, link.port, link.gbp, link.local.version) != (
        previous.vni, previous.port, previous.gbp, previous.local.version
    )  # fmt: skip


def deletion(index: int) -> bytearray:
    return _link_message(rtnl.DELLINK, index=index)


def enslaving(index: int, master: int) -> bytearray:
    """Put a link into a bridge, or with 0 take it out."""
    return _link_message(rtnl.NEWLINK, index=index, attrs=[("IFLA_MASTER", master)])


def admin_state(index: int, *, up: bool) -> bytearray:
    """Set or clear IFF_UP."""
    return _link_message(rtnl.NEWLINK, index=index, up=up)


def address_change(kind: int, flags: int, index: int, address: Address) -> bytearray:
    """Return RTM_NEWADDR or RTM_DELADDR. IPv6 without duplicate detection: our addresses follow from the lease."""
    interface = address.interface
    message = rtnl.AddressMessage()
    message["family"] = int(Family.of(interface))
    message["prefixlen"] = interface.network.prefixlen
    message["index"] = index
    message["flags"] = _NODAD if interface.version == 6 and kind == rtnl.NEWADDR else 0
    message["attrs"] = [("IFA_LOCAL", str(interface.ip)), ("IFA_ADDRESS", str(interface.ip))]
    return _encoded(message, kind, flags)


def address_dump(family: Family, index: int) -> bytearray:
    """Return the RTM_GETADDR dump request of one link, or of all with index 0."""
    return frame(rtnl.GETADDR, numbers.REQUEST | numbers.DUMP, bytes([family, 0, 0, 0]) + U32.pack(index))


@dataclass(frozen=True, slots=True)
class SeenAddress:
    index: int
    interface: IPInterface
    is_link_local: bool
    flags: int


def seen_address(buffer: bytes, start: int, end: int) -> SeenAddress | None:
    """Return an address as dumped. IFA_LOCAL is the host's own where IFA_ADDRESS is the peer's (point to point)."""
    _, length, flags, scope = buffer[start + HEADER_SIZE : start + HEADER_SIZE + 4]
    found = attributes(buffer, start + _IFADDRMSG_ATTRIBUTES_AT, end)
    packed = found.get(rtnl.IFA["IFA_LOCAL"]) or found.get(rtnl.IFA["IFA_ADDRESS"])
    if packed is None:
        return None
    interface = ip_interface((packed, length))
    if rtnl.IFA["IFA_FLAGS"] in found:
        flags = U32.unpack(found[rtnl.IFA["IFA_FLAGS"]])[0]
    index = U32.unpack_from(buffer, start + HEADER_SIZE + 4)[0]
    return SeenAddress(index, interface, scope == _SCOPE_LINK or interface.ip.is_link_local, flags)


def differences(wanted: OwnLink, found: OwnLink) -> Iterator[str]:
    """Return `mtu 1450 instead of 1400` and the like, for each attribute that the kernel did not take as asked."""
    for field in fields(wanted):
        asked, got = getattr(wanted, field.name), getattr(found, field.name)
        if asked != got:
            yield f"{field.name} {got} instead of {asked}"


def _local_attribute(local: IPAddress) -> tuple[str, str]:
    return ("IFLA_VXLAN_LOCAL" if local.version == 4 else "IFLA_VXLAN_LOCAL6", str(local))


def _vxlan(details: list[Any]) -> tuple[str, dict[str, Any]]:
    return (
        "IFLA_LINKINFO",
        {"attrs": [("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", {"attrs": details})]},
    )


def _link_message(
    kind: int, *, index: int = 0, flags: int = 0, attrs: list[Any] | None = None, up: bool | None = None
) -> bytearray:
    message = rtnl.LinkMessage()
    message["index"] = index
    if up is not None:
        message["flags"], message["change"] = (rtnl.IFF_UP if up else 0), rtnl.IFF_UP
    message["attrs"] = attrs or []
    return _encoded(message, kind, flags)


def _encoded(message: Any, kind: int, flags: int) -> bytearray:
    message["header"]["type"] = kind
    message["header"]["flags"] = numbers.REQUEST | flags
    message.encode()
    return bytearray(message.data)
