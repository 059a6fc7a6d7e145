"""The tuning of this host that the overlay needs: neighbour tables and reverse-path filters. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import Family


@dataclass(frozen=True, slots=True)
class NeighbourTable:
    """One family's neighbour table, which all network namespaces of the machine share.

    `limit` is gc_thresh3: beyond it the kernel refuses new entries, and packets to those addresses are lost. Entries
    that are permanent, as ours are, count only in kernels before 5.0. `needed` is the number of peers whose address
    the host must resolve on its own links; `refused` counts refusals, `refused_lately` those since the previous look.
    """

    family: Family
    limit: int
    needed: int = 0
    refused: int = 0
    refused_lately: int = 0


@dataclass(frozen=True, slots=True)
class ReversePath:
    """Reverse-path filters (kernel ip-sysctl, rp_filter): the greater of `all` and the link's own value applies.

    `strict` names links by which packets of peers arrive and on which 1 is in force: packets whose reply would take
    another link are dropped there. `drops` counts such drops on all links, `drops_lately` those since the previous
    look.
    """

    strict: tuple[str, ...] = ()
    drops: int = 0
    drops_lately: int = 0


@dataclass(frozen=True, slots=True)
class HostTuning:
    """The result of one look. `bridge_filter`: bridged packets pass the packet filter; None without br_netfilter."""

    reverse_path: ReversePath = ReversePath()
    neighbours: tuple[NeighbourTable, ...] = ()
    bridge_filter: bool | None = None
