"""The table of peers in the kernel: always whole, changed only where it differs, and quick with many rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.errors import KernelError
from flanpy.model.tunnel import Count, TunnelRow
from flanpy.udp.bpf import maps, syscall
from flanpy.udp.bpf.layout import KEY, PEER
from flanpy.udp.bpf.maps import CounterMap, PeerMap

pytestmark = pytest.mark.netns


@pytest.fixture
def peers() -> Iterator[PeerMap]:
    with closing(PeerMap()) as made:
        yield made


def _rows(count: int, *, network: str = "10.0.0.0") -> list[TunnelRow]:
    first = int(IPv4Address(network))
    return [
        TunnelRow(IPv4Network((first + (n << 8), 24)), IPv4Address(0x0B000000 + n), fast=bool(n % 2))
        for n in range(count)
    ]


def _found(peers: PeerMap, address: str) -> tuple[IPv4Address, bool] | None:
    value = syscall.lookup(peers.descriptor, KEY.pack(32, IPv4Address(address).packed), PEER.size)
    if value is None:
        return None
    packed, fast = PEER.unpack(value)
    return IPv4Address(packed), bool(fast)


def test_table_holds_ten_thousand_rows(peers: PeerMap) -> None:
    peers.replace(_rows(10_000))
    assert _found(peers, "10.0.0.9") == (IPv4Address("11.0.0.0"), False)
    assert _found(peers, "10.39.15.255") == (IPv4Address("11.0.39.15"), True)
    assert _found(peers, "10.39.16.0") is None
    peers.replace(_rows(3))
    assert _found(peers, "10.39.15.255") is None
    assert _found(peers, "10.0.2.0") == (IPv4Address("11.0.0.2"), False)


def test_table_changes_a_row_in_place(peers: PeerMap) -> None:
    subnet = IPv4Network("10.0.0.0/24")
    peers.replace([TunnelRow(subnet, IPv4Address("11.0.0.1"), fast=True)])
    peers.replace([TunnelRow(subnet, IPv4Address("11.0.0.2"))])
    assert _found(peers, "10.0.0.1") == (IPv4Address("11.0.0.2"), False)
    peers.replace([])
    assert _found(peers, "10.0.0.1") is None


def test_table_finds_the_longest_prefix(peers: PeerMap) -> None:
    nested = [
        TunnelRow(IPv4Network(text), IPv4Address(0x0B000000 + n))
        for n, text in enumerate(["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.1/32"])
    ]
    for rows in (nested, nested[::-1]):
        peers.replace(rows)
        for n, address in enumerate(["9.9.9.9", "10.9.9.9", "10.1.9.9", "10.1.1.9", "10.1.1.1"]):
            assert _found(peers, address) == (IPv4Address(0x0B000000 + n), False)


def test_table_can_be_set_where_the_kernel_has_no_batches(peers: PeerMap) -> None:
    rows = _rows(10)
    entries = [
        (KEY.pack(24, row.subnet.network_address.packed), PEER.pack(row.peer.packed, row.fast))
        for row in rows
    ]
    syscall._one_by_one(peers.descriptor, entries)
    assert _found(peers, "10.0.9.1") == (IPv4Address("11.0.0.9"), True)


def test_table_refuses_more_rows_than_it_holds_and_keeps_what_it_has(peers: PeerMap) -> None:
    peers.replace(_rows(2))
    with pytest.raises(KernelError, match=f"holds {maps.CAPACITY} peers"):
        peers.replace(
            TunnelRow(IPv4Network((n << 8, 24)), IPv4Address("11.0.0.1")) for n in range(maps.CAPACITY + 1)
        )
    assert _found(peers, "10.0.1.1") == (IPv4Address("11.0.0.1"), True)


def test_counters_start_at_zero() -> None:
    with closing(CounterMap()) as counters:
        assert counters.read() == dict.fromkeys(
            (
                Count.TX_PACKETS,
                Count.TX_BYTES,
                Count.RX_PACKETS,
                Count.RX_BYTES,
                Count.TX_ERRORS,
                Count.RX_ERRORS,
            ),
            0,
        )
