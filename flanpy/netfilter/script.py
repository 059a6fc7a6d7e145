"""Operations on packet filters as scripts for `iptables-restore --noflush` and `nft -f`: each is applied whole or not
at all (iptables: each table of it). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from flanpy.model.address import Family
from flanpy.model.ops import Op, Put
from flanpy.model.packet_filter import NFT_TABLE, FilterChain, FilterJump, FilterObject, Flavour
from flanpy.plan.filter_text import iptables_rule, nft_family, nft_steps


def obj_of(op: Op) -> FilterObject:
    """The object of an operation on packet filters."""
    assert isinstance(op.obj, FilterChain | FilterJump)
    return op.obj


def restore_script(ops: Sequence[Op]) -> str:
    """For operations of one iptables flavour and family, in the order given within each table."""
    lines: list[str] = []
    by_table = sorted(ops, key=lambda op: obj_of(op).table)
    for table, run in groupby(by_table, key=lambda op: obj_of(op).table):
        of_table = list(run)
        # Declaring a chain makes or empties it.
        chains = [obj_of(op) for op in of_table if isinstance(op, Put) and isinstance(op.obj, FilterChain)]
        lines += [
            f"*{table}",
            *(f":{chain.name} - [0:0]" for chain in chains if isinstance(chain, FilterChain)),
        ]
        for op in of_table:
            lines += _restore_lines(op)
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def _restore_lines(op: Op) -> Iterator[str]:
    obj = obj_of(op)
    if isinstance(obj, FilterChain):
        if isinstance(op, Put):
            yield from (f"-A {obj.name} {iptables_rule(rule)}" for rule in obj.rules)
        else:
            yield from (f"-F {obj.name}", f"-X {obj.name}")
        return
    before = op.previous if isinstance(op, Put) else obj
    places = before.places if isinstance(before, FilterJump) else ()
    yield from [f"-D {obj.chain} {obj.rule}"] * len(places)
    if isinstance(op, Put):
        yield f"-I {obj.chain} 1 {obj.rule}"


def nft_script(ops: Iterable[Op], standing: Iterable[FilterChain], held: Iterable[Family] = ()) -> str:
    """For operations in nftables; a table of ours that is left without chains goes, but for families `held`.

    Those have hosts in the set, which must not go with a chain.
    """
    lines: list[str] = []
    left = {chain.key: chain for chain in standing}
    tables = set()
    for op in ops:
        obj = obj_of(op)
        assert isinstance(obj, FilterChain)
        table = f"{nft_family(obj.family)} {obj.table}"
        tables.add(table)
        if isinstance(op, Put):
            left[obj.key] = obj
            if isinstance(op.previous, FilterChain) and op.previous.hook != obj.hook:
                lines += nft_steps(op.previous, "del")
            lines += nft_steps(obj, "add")
        else:
            left.pop(obj.key, None)
            lines += nft_steps(obj, "del") if obj.name else ()
    kept = {f"{nft_family(chain.family)} {chain.table}" for chain in left.values()}
    kept |= {f"{nft_family(family)} {NFT_TABLE}" for family in held}
    lines += [f"delete table {table}" for table in sorted(tables - kept)]
    return "\n".join(lines) + "\n"


def is_nft(op: Op) -> bool:
    """Is this done by `nft`?"""
    return obj_of(op).flavour is Flavour.NFT
