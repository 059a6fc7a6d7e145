"""The removal of tables of iptables-nft that held only our rules: iptables creates them, and never removes any.

For `flanpyctl cleanup` only. A table is removed if it holds neither rules nor policies of any program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from flanpy.errors import KernelError
from flanpy.model.address import Family
from flanpy.model.packet_filter import FilterObject, Flavour
from flanpy.netfilter.tools import Tools, run
from flanpy.plan.filter_text import nft_family

_NOTHING = re.compile(r":\S+ ACCEPT \[|\*|#|COMMIT")


def sweep(tools: Tools, gone: Iterable[FilterObject]) -> None:
    """`gone` are objects of ours that were deleted just now. Blocks; what cannot be swept stays."""
    tables = {(obj.family, obj.table) for obj in gone if obj.flavour is Flavour.IPTABLES_NFT}
    for family, table in sorted(tables):
        with suppress(KernelError):
            if _is_empty(tools, family, table):
                nft = tools.argv(Flavour.NFT, family, "delete")
                run((*nft, "delete", "table", nft_family(family), table))


def _is_empty(tools: Tools, family: Family, table: str) -> bool:
    text = run((*tools.argv(Flavour.IPTABLES_NFT, family, "save"), "-t", table))
    return all(map(_NOTHING.match, text.splitlines()))
