"""Operations as lines: those that no golden text shows."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest

from flanpy.model.objects import Blackhole, TunLink, TunnelEnd
from flanpy.model.ops import Delete, Op, Put
from flanpy.model.packet_filter import FilterMember
from flanpy.plan.render import describe, render

TUN = TunLink("flannel0", 1472)
END = TunnelEnd("flannel0", "eth0", IPv4Address("192.0.2.10"), 8285, 1472, IPv4Network("10.50.10.0/24"))
WHERE = "dev flannel0 underlay eth0 local 192.0.2.10 port 8285 subnet 10.50.10.0/24 mtu 1472"
SET = "ip link set flannel0 mtu 1472 alias flanpy"
MEMBER = FilterMember(IPv4Address("192.0.2.11"))
HOLE = Blackhole(IPv4Network("10.50.10.0/24"), metric=7)


@pytest.mark.parametrize(
    ("op", "line"),
    [
        (Put(TUN), f"ip tuntap add flannel0 mode tun multi_queue vnet_hdr && {SET}"),
        (
            Put(replace(TUN, multi_queue=False)),
            f"ip tuntap add flannel0 mode tun vnet_hdr && {SET}",
        ),
        (Put(replace(TUN, mtu=1400), TUN), "ip link set flannel0 mtu 1400"),
        (Delete(TUN), "ip link del flannel0"),
        (Put(END), f"tunnel add {WHERE} plane user"),
        (Put(replace(END, fast=True)), f"tunnel add {WHERE} plane kernel"),
        (Put(replace(END, fast=True, quiet=True), END), f"tunnel replace {WHERE} plane kernel quiet"),
        (Delete(END), "tunnel del dev flannel0"),
        (Put(HOLE), "ip route add blackhole 10.50.10.0/24 proto 70 metric 7"),
        (
            Delete(replace(HOLE, destination=IPv6Network("fd50::/64"))),
            "ip -6 route del blackhole fd50::/64 proto 70 metric 7",
        ),
        (Put(MEMBER), "nft 'add element ip flanpy members { 192.0.2.11 }'"),
        (Delete(MEMBER), "nft 'delete element ip flanpy members { 192.0.2.11 }'"),
    ],
)  # fmt: skip
def test_operation_is_the_line_that_does_the_same(op: Op, line: str) -> None:
    assert render(op) == line


def test_object_is_described_by_the_line_that_shows_it() -> None:
    assert [describe(one) for one in (TUN, END, HOLE)] == [
        "ip link show flannel0",
        "tunnel show dev flannel0",
        "ip route show blackhole 10.50.10.0/24 proto 70 metric 7",
    ]
