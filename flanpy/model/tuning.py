"""How this host is tuned, as far as the overlay needs it: neighbour tables and reverse-path filters. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import Family


@dataclass(frozen=True, slots=True)
class NeighbourTable:
    """One family's neighbour table, which all network namespaces of the machine share.

    `limit` is gc_thresh3: beyond it the kernel refuses new entries, and packets to whom they were for are lost.
    Entries that are permanent, as ours are, count only in kernels before 5.0. `needed` is for how many peers the host
    has to resolve an address on its own links; `refused` counts refusals, `refused_lately` those since the look before.
    """

    family: Family
    limit: int
    needed: int = 0
    refused: int = 0
    refused_lately: int = 0


@dataclass(frozen=True, slots=True)
class ReversePath:
    """Reverse-path filters (kernel ip-sysctl, rp_filter): of `all` and of a link's own value the greater counts.

    `strict` names links that packets of peers come in by and on which 1 is in force: what would not be answered the
    same way is dropped there. `drops` counts such drops, of all links, `drops_lately` those since the look before.
    """

    strict: tuple[str, ...] = ()
    drops: int = 0
    drops_lately: int = 0


@dataclass(frozen=True, slots=True)
class HostTuning:
    """One look. `bridge_filter`: packets within a bridge pass the packet filter too; None without br_netfilter."""

    reverse_path: ReversePath = ReversePath()
    neighbours: tuple[NeighbourTable, ...] = ()
    bridge_filter: bool | None = None
