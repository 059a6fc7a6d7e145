"""Every kind of fault there is, by name."""

from __future__ import annotations

from collections.abc import Iterable

from integration.faults import (
    daemons as host,
)
from integration.faults import (
    members as etcd,
)
from integration.faults import (
    objects as kernel,
)
from integration.faults import (
    operators as operator,
)
from integration.faults import (
    wires as network,
)
from integration.faults.fault import Family, Kind
from integration.truth.fabric import VXLAN, Fabric

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (*etcd.KINDS, *kernel.KINDS, *network.KINDS, *host.KINDS, *operator.KINDS)
}


def of_families(families: Iterable[Family], fabric: Fabric = VXLAN) -> list[Kind]:
    """The kinds of some families that a network has, in the catalogue's order."""
    wanted = frozenset(families)
    return [kind for kind in KINDS.values() if kind.family in wanted and fabric.name in kind.fabrics]
