"""Every kind of fault there is, by name."""

from __future__ import annotations

from collections.abc import Iterable

from integration.chaos import etcd, host, kernel, network, operator
from integration.chaos.fabric import VXLAN, Fabric
from integration.chaos.kinds import Family, Kind

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (*etcd.KINDS, *kernel.KINDS, *network.KINDS, *host.KINDS, *operator.KINDS)
}


def of_families(families: Iterable[Family], fabric: Fabric = VXLAN) -> list[Kind]:
    """The kinds of some families that a network has, in the catalogue's order."""
    wanted = frozenset(families)
    return [kind for kind in KINDS.values() if kind.family in wanted and fabric.name in kind.fabrics]
