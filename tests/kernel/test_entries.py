"""Our packing against pyroute2's encoder, byte for byte, on random entries."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from flanpy.kernel import entries
from flanpy.model.address import Family, IPAddress, IPNetwork, Mac
from flanpy.model.objects import FdbEntry, Neighbour, Route
from flanpy.netlink import rtnl

INDICES = st.integers(1, 2**31 - 1)
KINDS = st.sampled_from([rtnl.NEWNEIGH, rtnl.DELNEIGH])
FLAGS = st.integers(0, 0xFFFF)
MACS = st.binary(min_size=6, max_size=6).map(Mac)
ADDRESSES: st.SearchStrategy[IPAddress] = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)
)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    family = draw(st.sampled_from(Family))
    length = draw(st.integers(0, family.bits))
    base = draw(st.integers(0, 2**family.bits - 1)) >> (family.bits - length) << (family.bits - length)
    ipv4 = family is Family.IPV4
    destination: IPNetwork = IPv4Network((base, length)) if ipv4 else IPv6Network((base, length))
    gateway = draw(st.integers(0, 2**family.bits - 1))
    address: IPAddress = IPv4Address(gateway) if ipv4 else IPv6Address(gateway)
    return Route(
        destination=destination,
        link="any0",
        gateway=draw(st.sampled_from([None, address])),
        onlink=draw(st.booleans()),
        table=draw(st.integers(1, 2**32 - 1)),
        metric=draw(st.integers(1, 2**32 - 1) if family is Family.IPV6 else st.integers(0, 2**32 - 1)),
        proto=draw(st.integers(0, 255)),
    )


def encoded(message: Any, kind: int, flags: int) -> bytes:
    message["header"]["type"] = kind
    message["header"]["flags"] = flags
    message["header"]["sequence_number"] = 0
    message["header"]["pid"] = 0
    message.encode()
    return bytes(message.data)


@given(KINDS, FLAGS, INDICES, ADDRESSES, MACS)
def test_packed_neighbours_equal_those_of_pyroute2(
    kind: int, flags: int, index: int, address: IPAddress, mac: Mac
) -> None:
    oracle = ndmsg()
    oracle.update(family=int(Family.of(address)), ifindex=index, state=0x80)
    oracle["attrs"] = [("NDA_DST", str(address)), ("NDA_LLADDR", str(mac))]
    ours = entries.neighbour(kind, flags, index, Neighbour("any0", address, mac))
    assert padded(bytes(ours)) == padded(encoded(oracle, kind, flags))


@given(KINDS, FLAGS, INDICES, ADDRESSES, MACS)
def test_packed_fdb_entries_equal_those_of_pyroute2(
    kind: int, flags: int, index: int, address: IPAddress, mac: Mac
) -> None:
    oracle = ndmsg()
    oracle.update(family=7, ifindex=index, state=0x80, flags=2)
    oracle["attrs"] = [("NDA_LLADDR", str(mac)), ("NDA_DST", str(address))]
    ours = entries.fdb(kind, flags, index, FdbEntry("any0", mac, address))
    assert padded(bytes(ours)) == padded(encoded(oracle, kind, flags))


@given(st.sampled_from([rtnl.NEWROUTE, rtnl.DELROUTE]), FLAGS, INDICES, routes())
def test_packed_routes_equal_those_of_pyroute2(kind: int, flags: int, index: int, route: Route) -> None:
    scope = 255 if kind == rtnl.DELROUTE else 0 if route.gateway is not None else 253
    oracle = rtmsg()
    oracle.update(
        family=int(Family.of(route.destination)),
        dst_len=route.destination.prefixlen,
        table=route.table if route.table < 256 else 0,
        proto=route.proto,
        scope=scope,
        type=1,
        flags=4 if route.onlink else 0,
    )
    attrs: list[tuple[str, object]] = [("RTA_DST", str(route.destination.network_address))]
    if route.gateway is not None:
        attrs.append(("RTA_GATEWAY", str(route.gateway)))
    elif kind == rtnl.DELROUTE and route.destination.version == 6:
        attrs.append(("RTA_GATEWAY", "::"))
    attrs.append(("RTA_OIF", index))
    if route.metric:
        attrs.append(("RTA_PRIORITY", route.metric))
    if route.table >= 256:
        attrs.append(("RTA_TABLE", route.table))
    oracle["attrs"] = attrs
    ours = entries.route(kind, flags, index, route)
    assert padded(bytes(ours)) == padded(encoded(oracle, kind, flags))


def padded(message: bytes) -> bytes:
    return message + bytes(-len(message) & 3)
