"""Judges what of the host's tuning and of the network's room may fall short: neighbour tables, filters, subnets."""

from __future__ import annotations

from flanpy.model.condition import Condition, ConditionType
from flanpy.model.reach import Reach
from flanpy.model.tuning import HostTuning, NeighbourTable
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, named, unmeasured


def neighbours(inputs: Inputs, _now: float) -> Condition:
    """Judge whether the neighbour tables hold all peers on this host's links (P20)."""
    kind, tuning = ConditionType.NEIGHBOURS_FIT, inputs.tuning
    if tuning is None or not tuning.neighbours:
        return unmeasured(kind, "NotRead", "the neighbour tables were not read yet")
    small = [table for table in tuning.neighbours if table.needed > table.limit]
    if small:
        return _short(small[0], "TooSmall", f"{small[0].needed} peers are on this host's links")
    refusing = [table for table in tuning.neighbours if table.refused_lately]
    if refusing:
        text = f"the kernel refused {refusing[0].refused_lately} neighbours recently"
        return _short(refusing[0], "Overflowing", text)
    rooms = ", ".join(f"{table.family.name} {table.limit}" for table in tuning.neighbours)
    return good(kind, "Fit", f"room for neighbours: {rooms}")


def _short(table: NeighbourTable, reason: str, text: str) -> Condition:
    name = f"net.{table.family.name.lower()}.neigh.default.gc_thresh3"
    wanted = 1 << max(table.needed * 2, table.limit * 2).bit_length()
    message = f"{text}, and {name} lets the {table.family.name} neighbour table hold {table.limit}"
    cure = f"run on the machine: sysctl -w {name}={wanted}, and keep it in /etc/sysctl.d"
    evidence = (f"{name} = {table.limit}", f"needed {table.needed}", f"refused {table.refused}")
    return bad(ConditionType.NEIGHBOURS_FIT, reason, message, cure, evidence=evidence)


def subnets(inputs: Inputs, _now: float) -> Condition:
    """Judge whether one more host would find a subnet (P28)."""
    kind = ConditionType.SUBNETS_AVAILABLE
    pools = [pool for pool in inputs.pools if pool is not None]
    if not pools:
        return unmeasured(kind, "NotRead", "the leases were not listed yet")
    full = [pool for pool in pools if pool.free <= 0]
    if full:
        message = f"all {full[0].total} subnets of the network are leased: one more host would get none"
        cure = "release what is not used (flanpyctl subnets shows whose), or enlarge the network or its SubnetLen"
        return bad(kind, "Exhausted", message, cure)
    least = min(pools, key=lambda pool: pool.free)
    return good(kind, "Available", f"{least.free} of {least.total} subnets are free")


def tuned(inputs: Inputs, _now: float) -> Condition:
    """Judge whether reverse-path filters drop packets of peers (P05)."""
    kind, tuning = ConditionType.HOST_TUNED, inputs.tuning
    if tuning is None:
        return unmeasured(kind, "NotRead", "the settings of this host were not read yet")
    path = tuning.reverse_path
    ours = [link for link in path.strict if link in inputs.own_links]
    if ours:
        return _strict(tuning, ours, f"rp_filter is strict on {named(ours)}, which loosening did not change")
    if path.strict and path.drops_lately and not _all_reached(inputs):
        text = f"rp_filter is strict on {named(path.strict)} and dropped {path.drops_lately} packets recently"
        return _strict(tuning, list(path.strict), text)
    said = f"rp_filter is strict on {named(path.strict)}, and drops nothing of peers" if path.strict else ""
    return good(kind, "Tuned", said or "nothing is set against the overlay")


def _strict(tuning: HostTuning, links: list[str], text: str) -> Condition:
    path = tuning.reverse_path
    lines = " ".join(f"net.ipv4.conf.{link.replace('.', '/')}.rp_filter=2" for link in links)
    evidence = (*(f"{link}: rp_filter 1 in force" for link in links), f"dropped since boot: {path.drops}")
    cure = f"run: sysctl -w {lines}, and keep it in /etc/sysctl.d"
    return bad(ConditionType.HOST_TUNED, "StrictReversePath", text, cure, evidence=evidence)


def _all_reached(inputs: Inputs) -> bool:
    """Report whether every peer answers nevertheless: the dropped packets are then not the overlay's."""
    report = inputs.reach
    if report is None or report.problem or not report.peers:
        return False
    return all(peer.reach is Reach.REACHABLE for peer in report.peers.values())
