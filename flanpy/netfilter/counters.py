"""The packets dropped by our nftables rules, from their named counters. One netlink request. Must not write."""

from __future__ import annotations

from collections.abc import Iterator

from flanpy.model.address import Family
from flanpy.model.packet_filter import NFT_TABLE
from flanpy.netfilter.nfnetlink import NfTables


def counts() -> Iterator[tuple[Family, str, int]]:
    """Return family, name and packets of each counter in our tables."""
    nf = NfTables()
    try:
        for family, table, name, packets in nf.counters():
            if table == NFT_TABLE and family in set(Family):
                yield Family(family), name, packets
    finally:
        nf.close()
