"""Reads the rules of this host and prints what keeps the fast path off, as JSON: a program of its own.

A rule set can take megabytes while it is read, which the daemon then never holds. Changes nothing.
"""

from __future__ import annotations

import json
import sys

from flanpy.errors import KernelError
from flanpy.fastpath.rules import IPTABLES_TABLES, unfit_nft, unfit_saved
from flanpy.model.address import Family
from flanpy.model.packet_filter import Flavour
from flanpy.netfilter.nfnetlink import NfTables
from flanpy.netfilter.tools import Tools, run


def unfit() -> str:
    """Return the first rule that looks at each packet; "" if none does. Raises KernelError if rules cannot be read."""
    tools = Tools()
    flavours, _ = tools.present()
    for flavour in (Flavour.IPTABLES_NFT, Flavour.IPTABLES_LEGACY):
        if flavour in flavours and (rule := unfit_saved(run(tools.argv(flavour, Family.IPV4, "save")))):
            return rule
    if Flavour.NFT in flavours:
        listed = run((*tools.argv(Flavour.NFT, Family.IPV4, "list"), "-j", "list", "ruleset"))
        return unfit_nft(listed, without_iptables=Flavour.IPTABLES_NFT in flavours)
    return _unreadable(without_iptables=Flavour.IPTABLES_NFT in flavours)


def _unreadable(*, without_iptables: bool) -> str:
    """Return a table that nothing installed here can read."""
    seen = NfTables()
    try:
        for family, name in sorted(seen.tables()):
            if not (without_iptables and family == Family.IPV4 and name in IPTABLES_TABLES):
                return f"table {name}, which only nft can read, and that is not installed"
        return ""
    finally:
        seen.close()


def main() -> None:
    """Read, judge, tell."""
    try:
        said = unfit()
    except KernelError as error:
        said = f"the rules cannot be read: {error}"
    json.dump({"unfit": said}, sys.stdout)


if __name__ == "__main__":
    main()
