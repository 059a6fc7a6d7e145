"""The set of the overlay's hosts in our nftables tables, over netlink: read whole, written one address at a time.

A lease costs one message where running `nft` costs 5 ms, and 1,000 leases a few messages. The sets themselves, which
are made once, are left to `nft`. Blocks, mostly for a fraction of a millisecond. Must not decide on the members, or
retry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from ipaddress import ip_address
from itertools import groupby

from flanpy.errors import KernelError
from flanpy.model.address import Family
from flanpy.model.ops import Op, OpFailure, Put
from flanpy.model.packet_filter import MEMBERS, NFT_TABLE, FilterMember, Flavour
from flanpy.netfilter.elements import Elements, NotThere
from flanpy.netfilter.tools import Tools, run
from flanpy.plan.filter_text import member_set, nft_family


class Members:
    """The sets. `writes` counts our transactions that changed only the set; `port` is the port id of their events."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._elements = Elements(NFT_TABLE, MEMBERS)
        self._seen: dict[Family, frozenset[bytes]] = {}
        self._known: dict[bytes, FilterMember] = {}
        self.writes = 0

    @property
    def port(self) -> int:
        return self._elements.port

    def close(self) -> None:
        self._elements.close()

    def read(self) -> list[FilterMember]:
        """Return the members of the sets; those seen last, if they cannot be read now."""
        for family in Family:
            # A kernel without nf_tables, or one that is busy: what is written next will tell.
            with suppress(KernelError):
                self._seen[family] = self._read(family)
        known = self._known
        self._known = {key: known.get(key) or _member(key) for seen in self._seen.values() for key in seen}
        return list(self._known.values())

    def known(self) -> list[FilterMember]:
        """Return the members of the sets, valid if no other program changed them since they were read."""
        for key in (key for keys in self._seen.values() for key in keys if key not in self._known):
            self._known[key] = _member(key)
        return [self._known[key] for keys in self._seen.values() for key in keys]

    def _read(self, family: Family) -> frozenset[bytes]:
        try:
            return frozenset(self._elements.read(family))
        except NotThere:
            return frozenset()

    def holds(self, family: Family) -> bool:
        """Report whether the set has members, as seen last."""
        return bool(self._seen.get(family))

    def apply(self, ops: Iterable[Op]) -> list[OpFailure]:
        """Add and remove members. Adding a present one or removing an absent one is no failure."""
        failures: list[OpFailure] = []
        for family, run_ in groupby(sorted(ops, key=_family), key=_family):
            group = tuple(run_)
            try:
                self._write(family, group)
            except KernelError as error:
                failures += [OpFailure(op, error) for op in group]
        return failures

    def _write(self, family: Family, ops: Sequence[Op]) -> None:
        come = {_key(op) for op in ops if isinstance(op, Put)}
        gone = {_key(op) for op in ops} - come
        before = self._seen.get(family, frozenset())
        try:
            transactions = self._elements.change(family, come, gone)
            # To put who is there is no change to the kernel, which does not number it.
            self.writes += transactions if gone or come - before else 0
        except NotThere:
            self._write_anew(family, come, gone)
        self._seen[family] = (before | come) - gone

    def _write_anew(self, family: Family, come: AbstractSet[bytes], gone: AbstractSet[bytes]) -> None:
        """Write again: remove only present members, and create the set if it does not exist."""
        try:
            gone = gone & frozenset(self._elements.read(family))
        except NotThere:
            if not come:
                return
            table = f"add table {nft_family(family)} {NFT_TABLE}"
            nft = self._tools.argv(Flavour.NFT, family, "add")
            run((*nft, "-f", "-"), f"{table}\n{member_set(family)}\n")
            gone = frozenset()
        self.writes += self._elements.change(family, come, gone)

    def drop_table(self, family: Family) -> None:
        """Delete the table if it contains only the set, which must be empty. Raises KernelError."""
        nft = self._tools.argv(Flavour.NFT, family, "delete")
        run((*nft, "delete", "table", nft_family(family), NFT_TABLE))


def _member(key: bytes) -> FilterMember:
    return FilterMember(ip_address(key))


def _family(op: Op) -> Family:
    assert isinstance(op.obj, FilterMember)
    return op.obj.family


def _key(op: Op) -> bytes:
    assert isinstance(op.obj, FilterMember)
    return op.obj.address.packed
