"""Our packing of an IPIP device against pyroute2's reading of it, and the reading of devices of either maker."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from flanpy.kernel import ipip, links
from flanpy.model.ipip import IpipLink
from flanpy.model.objects import OtherLink
from flanpy.netlink import rtnl

ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)
MTUS = st.integers(68, 65_535)
HERE = IpipLink("flannel.ipip", IPv4Address("192.0.2.10"), 1480)


def _read(message: bytes) -> Any:
    found = ifinfmsg(message)
    found.decode()
    return found


def _details(found: Any) -> tuple[str, str, int]:
    """Local and far end, and whether the outer packet always has DF, as pyroute2 reads them."""
    info = found.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "ipip"
    data = info.get_attr("IFLA_INFO_DATA")
    names = ("IFLA_IPIP_LOCAL", "IFLA_IPIP_REMOTE", "IFLA_IPIP_PMTUDISC")
    local, remote, pmtudisc = map(data.get_attr, names)
    return local, remote, pmtudisc


@given(ADDRESSES, MTUS)
def test_creation_is_what_pyroute2_reads(local: IPv4Address, mtu: int) -> None:
    make, mark = (_read(bytes(message)) for message in ipip.creation(IpipLink("flannel.ipip", local, mtu)))
    assert (make["header"]["type"], make["header"]["flags"]) == (rtnl.NEWLINK, 0x601)  # create, exclusively
    assert (make.get_attr("IFLA_IFNAME"), make.get_attr("IFLA_MTU")) == ("flannel.ipip", mtu)
    assert _details(make) == (str(local), "0.0.0.0", 0)
    assert (mark.get_attr("IFLA_IFNAME"), mark.get_attr("IFLA_IFALIAS")) == ("flannel.ipip", "flanpy")


def test_only_another_address_is_a_change_of_the_tunnel_itself() -> None:
    assert ipip.change(HERE, IpipLink("flannel.ipip", HERE.local, 1400, alias=""), 7) == []
    (message,) = ipip.change(IpipLink("flannel.ipip", IPv4Address("192.0.2.77"), 1480), HERE, 7)
    found = _read(bytes(message))
    assert (found["index"], found.get_attr("IFLA_IFNAME")) == (7, None)
    assert _details(found) == ("192.0.2.77", "0.0.0.0", 0)
    assert [_read(bytes(m)).get_attr("IFLA_MTU") for m in links.settled(HERE, HERE, 7)] == []


@given(ADDRESSES, MTUS, st.sampled_from(["", "flanpy"]))
def test_device_is_read_as_it_was_made(local: IPv4Address, mtu: int, alias: str) -> None:
    wanted = IpipLink("flannel.ipip", local, mtu, alias)
    make = bytes(ipip.creation(wanted)[0])
    seen = links.seen_link(make, 0, len(make))
    assert links.decode(links.SeenLink(7, seen.name, alias, False, make), {}) == wanted
    assert ipip.is_same(make, wanted)


def test_device_with_a_fixed_far_end_is_none_of_ours() -> None:
    make = bytes(ipip.creation(HERE)[0])
    other = make.replace(bytes([8, 0, 3, 0, 0, 0, 0, 0]), bytes([8, 0, 3, 0, 192, 0, 2, 11]))
    assert ipip.decode(other, "tun1", "") == OtherLink("tun1", "ipip")
    assert not ipip.is_same(other, HERE)


@pytest.mark.parametrize("made_by", ["flannel", "iproute2"])
def test_path_mtu_discovery_of_either_maker_is_accepted(made_by: str) -> None:
    make = bytes(ipip.creation(HERE)[0])
    if made_by == "iproute2":
        make = make.replace(bytes([5, 0, 10, 0, 0]), bytes([5, 0, 10, 0, 1]))
    assert ipip.decode(make, HERE.name, HERE.alias) == HERE
