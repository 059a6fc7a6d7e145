"""Judges the packet filter, and with it what Docker needs of it."""

from __future__ import annotations

from typing import Final

from flanpy.backend.filtering import filter_flavour, lets_strangers_in
from flanpy.errors import KernelCause
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.packet_filter import FilterChain, FilterChoice, FilterJump, FilterMember
from flanpy.model.transit import Harm
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, unmeasured


def docker(inputs: Inputs, now: float) -> Condition:
    """Judged where it was looked at (`docker.verdict`); only here it is known whether our packet filter stands."""
    kind, report = ConditionType.DOCKER_CONSISTENT, inputs.docker
    if report is None:
        return unmeasured(kind, "NotRead", "Docker was not looked at yet")
    filtering = rules(inputs.last)
    if report.condition.status is Status.TRUE and report.needs_accepts and not filtering.healthy:
        text = f"Docker drops what reaches containers over the overlay, and our rules do not stand: {filtering.message}"
        return bad(kind, "EngineDropsUs", text, filtering.cure)
    return report.condition


def firewall(inputs: Inputs, _now: float) -> Condition:
    """Not needed to be ready: most hosts forward without any rule, and those that do not say so in packets lost.

    That our rules stand is half of it; the other half is what rules of others do to what the overlay carries.
    """
    standing, transit = rules(inputs.last), inputs.transit
    if not standing.healthy or transit is None or not transit.obstacles:
        return standing
    first = min(transit.obstacles, key=lambda one: one.harm is not Harm.DROPPED)
    lines = [f"{one.packet}: {one.met}: {one.rule}" for one in transit.obstacles]
    what, reason = _HARMS[first.harm]
    return bad(standing.type, reason, f"{what}: {first.met}", first.cure, evidence=lines)


_HARMS = {
    Harm.DROPPED: ("what containers and peers send each other ends here", "TrafficDropped"),
    Harm.SOURCE_HIDDEN: ("peers do not see which container sends", "SourceHidden"),
}


def rules(last: Pass | None) -> Condition:
    """Judge whether our rules in the packet filter are in place as of the last pass."""
    kind = ConditionType.FIREWALL_READY
    facts = last.world.filter if last is not None else None
    if last is None or facts is None or last.decision.desired is None:
        return unmeasured(kind, "NotRead", "not looked at before the backend is planned")
    if facts.problem:
        return bad(kind, "Unreadable", facts.problem, _FILTER_CURES[facts.cause])
    failed = [f for f in last.failures if isinstance(f.op.obj, FilterChain | FilterJump | FilterMember)]
    if failed:
        return bad(kind, "Failed", str(failed[0].error), _FILTER_CURES[failed[0].error.cause])
    policy, flavour = last.world.policy.filter, filter_flavour(last.world)
    if policy.choice is FilterChoice.OFF:
        return good(kind, "Off", "filter-backend is off: the rules are the operator's")
    if flavour is None:
        missing = "neither nft nor iptables is" if not facts.tools else f"{policy.choice.value} is not"
        cure = "install nftables or iptables, or set filter-backend"
        return bad(kind, "NoTool", f"{missing} installed: no packet filter rules", cure)
    if lets_strangers_in(last.world, flavour):
        text = f"{flavour.value} cannot tell strangers from peers: anybody in the underlay can send into the overlay"
        return bad(
            kind, "NoSets", text, "install nftables, and leave filter-backend at auto or set it to nft"
        )
    docker = " with Docker's" if flavour in facts.docker_flavours else ""
    return good(kind, "Programmed", f"rules stand in {flavour.value}{docker}")


_FILTER_CURES: Final = {
    KernelCause.OTHER: "it is tried again; see flanpyctl diff",
    KernelCause.LOCKED: (
        "let flanpyd open it (tmpfiles.d: 'f /run/xtables.lock 0660 root <its group>'), or use nftables"
    ),
    KernelCause.NOT_PERMITTED: (
        "give flanpyd CAP_NET_ADMIN, with iptables-legacy CAP_NET_RAW too, or run it as root"
    ),
    KernelCause.NO_TOOL: "install it, or set filter-backend",
    KernelCause.NOT_KEPT: "find who removes it: 'nft monitor' names the process",
    KernelCause.INCOMPATIBLE: "move the rules that iptables does not know to a table of their own",
}
