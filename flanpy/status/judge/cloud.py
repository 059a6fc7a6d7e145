"""Judges the cloud provider's route tables: whether they lead this host's subnet here, and what stands in the way."""

from __future__ import annotations

from typing import Final

from flanpy.model.cloud import AWS, CLOUDS, CloudFault, CloudStatus
from flanpy.model.condition import Condition, ConditionType
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, named, unknown

_GRANT: Final = "let this host's role make that call: flanpyctl doctor prints the whole policy"

_CURES: Final = {
    CloudFault.DENIED: _GRANT,
    CloudFault.CREDENTIALS: "give the instance a role (or service account), or flanpyd the SDK's own variables",
    CloudFault.THROTTLED: "it is tried again, ever more slowly; fewer looks: --cloud-interval",
    CloudFault.FULL: "have the quota raised, remove routes that nobody needs, or move to vxlan: flanpyctl network set",
    CloudFault.UNREACHABLE: "it is tried again; does this host reach the provider's API? See --cloud-endpoint",
    CloudFault.WRONG_TABLE: "correct RouteTableID: flanpyctl network set",
    CloudFault.SDK: "install it where flanpyd runs, and restart flanpyd",
    CloudFault.REFUSED: "it is tried again; see the log",
}
_FORWARDS: Final = {
    True: "aws ec2 modify-network-interface-attribute --no-source-dest-check --network-interface-id {}",
    False: "see --iface; canIpForward is set when an instance is made (gcloud ... --can-ip-forward)",
}
_NEARLY: Final = 0.9
"""The part of a table's quota from which on the condition warns that the table fills up."""


def routes(inputs: Inputs, _now: float) -> Condition:
    """Judge the cloud routes; names the most urgent fault: one that keeps our own route out, then one that will."""
    kind, status = ConditionType.CLOUD_ROUTES, inputs.cloud
    if status is None:
        if inputs.network is not None and inputs.network.backend_type in CLOUDS:
            return unknown(kind, "NotRead", "the provider's route tables were not read yet")
        return good(kind, "NotAsked", "no backend asks a cloud provider for routes")
    if status.trouble is not None:
        what = status.trouble
        return bad(kind, what.fault.value, str(what), _cure(status), evidence=_evidence(status))
    if status.plan.foreign:
        text = f"a route that is not an overlay's stands where ours should: {status.plan.foreign[0]}"
        return bad(kind, "ForeignRoute", text, "remove that route; ours follows with the next look")
    if status.misplaced:
        text = f"packets of this host go by {status.misplaced}, which RouteTableID does not name"
        return bad(
            kind, "WrongTable", text, f"add {status.misplaced} to RouteTableID, or leave RouteTableID out"
        )
    if status.denied:
        text = f"calls that will be needed are not allowed: {named([one.action for one in status.denied])}"
        return bad(kind, "PermissionMissing", text, _GRANT, evidence=_evidence(status))
    if status.held:
        return bad(
            kind, "StaleRoutesHeld", status.held, "if those hosts are gone, remove their routes by hand"
        )
    return _filling(status) or _well(status)


def _cure(status: CloudStatus) -> str:
    assert status.trouble is not None
    if status.trouble.fault is CloudFault.UNFIT:
        aws = status.backend == AWS and status.host is not None
        return _FORWARDS[aws].format(status.host.target if status.host is not None else "")
    return _CURES[status.trouble.fault]


def _evidence(status: CloudStatus) -> list[str]:
    return [str(one) for one in status.denied]


def _filling(status: CloudStatus) -> Condition | None:
    for table in status.tables:
        if table.limit and table.size >= _NEARLY * table.limit and any(r.target for r in table.routes):
            text = f"{table.id} has {table.size} routes; the provider's usual quota is {table.limit}"
            cure = "have the quota raised before more hosts join, or move to vxlan"
            return bad(ConditionType.CLOUD_ROUTES, "TableNearlyFull", text, cure)
    return None


def _well(status: CloudStatus) -> Condition:
    kind = ConditionType.CLOUD_ROUTES
    if status.standing is None or status.host is None:
        return good(kind, "Waiting", "no subnet is leased, and no route asked for")
    tables = [
        table.id for table in status.tables if any(r.destination == status.standing for r in table.routes)
    ]
    unknown_ones = status.plan.unknown
    more = (
        f"; of {len(unknown_ones)} routes no lease tells whose they are: {unknown_ones[0]}"
        if unknown_ones
        else ""
    )
    return good(kind, "Standing", f"{status.standing} -> {status.host.target} in {', '.join(tables)}{more}")
