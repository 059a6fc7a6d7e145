"""Every kind of fault there is, by name."""

from __future__ import annotations

from collections.abc import Iterable

from integration.chaos import etcd, host, kernel, network
from integration.chaos.kinds import Family, Kind

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (*etcd.KINDS, *kernel.KINDS, *network.KINDS, *host.KINDS)
}


def of_families(families: Iterable[Family]) -> list[Kind]:
    """The kinds of some families, in the catalogue's order."""
    wanted = frozenset(families)
    return [kind for kind in KINDS.values() if kind.family in wanted]
