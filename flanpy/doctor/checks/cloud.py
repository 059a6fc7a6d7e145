"""Routes at a cloud provider, as the daemon judges them; a missing permission comes with the text that grants it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flanpy.doctor.checks.common import Problem, evidence_of
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Severity
from flanpy.doctor.permissions import needed
from flanpy.model.cloud import AWS, CloudFault

_TITLES: Final = {
    CloudFault.DENIED.value: "the cloud provider does not let this host keep its route",
    CloudFault.CREDENTIALS.value: "this host has no credentials for the cloud provider",
    CloudFault.FULL.value: "the cloud provider's route table is full",
    "TableNearlyFull": "the cloud provider's route table is nearly full",
    CloudFault.UNFIT.value: "the cloud provider drops what containers send: forwarding is off for this host",
    CloudFault.WRONG_TABLE.value: "routes stand in the wrong table",
    "ForeignRoute": "a foreign route stands at the cloud provider where ours should",
    CloudFault.THROTTLED.value: "the cloud provider throttles this host's calls",
    CloudFault.UNREACHABLE.value: "the cloud provider's API does not answer",
    CloudFault.SDK.value: "the cloud provider's SDK is not installed",
    "StaleRoutesHeld": "routes of hosts that are gone stand at the cloud provider",
}
_WARNINGS: Final = frozenset(
    {"TableNearlyFull", "StaleRoutesHeld", CloudFault.THROTTLED.value, CloudFault.UNREACHABLE.value}
)
"""Reasons while which packets go on."""


def routes(facts: Facts) -> Iterator[Finding]:
    """The condition, with what is to be granted spelt out."""
    condition = facts.condition("CloudRoutes")
    if condition is None or condition.status == "Unknown":
        return
    reason, grant = condition.reason, ""
    backend = (facts.status.backend.cloud if facts.status.backend is not None else None) or ""
    if reason == CloudFault.DENIED.value or (reason == CloudFault.UNFIT.value and backend == AWS):
        grant = needed(backend)
    severity = Severity.WARNING if reason in _WARNINGS else Severity.ERROR
    title = _TITLES.get(reason, "the cloud provider refuses this host's route")
    yield Problem("P33", title).found(
        *evidence_of(condition), cure=condition.cure, grant=grant, severity=severity, condition="CloudRoutes"
    )
