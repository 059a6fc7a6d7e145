"""Protocols of the keeper: the provider, and etcd; and the counts of the provider's calls for the metrics.

A provider's methods block: the keeper calls them in a thread of their own, one at a time. Each raises `CloudError` and
nothing else, and retries nothing: how often to try is the keeper's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from flanpy.errors import CloudError
from flanpy.model.cloud import CloudFault, CloudHost, CloudOp, CloudRecord, CloudTable, CloudTrouble

CONNECT_S = 5.0
READ_S = 15.0
"""Deadlines of a call: the SDKs' own minute would hide an outage for as long."""

LONGEST_TEXT = 300


class Provider(Protocol):
    """One provider's API, as one host uses it."""

    def host(self, address: IPv4Address) -> CloudHost:
        """Say which host this is; `address` is the underlay's, by which its interface is found."""

    def tables(self, host: CloudHost) -> tuple[CloudTable, ...]:
        """Read the route tables of this host's network."""

    def allow_forwarding(self, host: CloudHost) -> None:
        """Let this host send and receive for others; CloudError (HostUnfit) if only a person can."""

    def apply(self, op: CloudOp) -> None:
        """Change one route. Deleting what is not there is success."""

    def denied(self, host: CloudHost, tables: tuple[CloudTable, ...]) -> tuple[CloudTrouble, ...]:
        """Find out which calls this host may not make, changing nothing."""


class Registry(Protocol):
    """The records of routes that the overlay's hosts share in etcd. Methods raise StoreError."""

    async def records(self) -> Mapping[IPv4Network, CloudRecord]:
        """Read of every route who made it."""

    async def write(self, subnet: IPv4Network, record: CloudRecord) -> None:
        """Say that we make this route."""

    async def remove(self, subnet: IPv4Network) -> None:
        """Say that the route is gone."""

    async def claimed(self, subnet: IPv4Network) -> bool:
        """Tell whether some host is removing a route to this subnet right now."""

    async def claim(self, subnet: IPv4Network) -> bool:
        """Claim the removal for a minute; False if the subnet is leased, or another host is at it."""

    async def release(self, subnet: IPv4Network) -> None:
        """Give the claim up."""


class Calls:
    """Counts of calls by action and outcome."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def ok(self, action: str) -> None:
        """Count one that was answered."""
        self.counts[action, "ok"] += 1

    def error(self, fault: CloudFault, action: str, text: str) -> CloudError:
        """Count one that failed, and make the error of it."""
        outcome = {CloudFault.THROTTLED: "throttled", CloudFault.DENIED: "denied"}.get(fault, "error")
        self.counts[action, outcome] += 1
        return refusal(fault, action, text)


def refusal(fault: CloudFault, action: str, text: str) -> CloudError:
    """Make the error of a refusal; the provider's text on one line, without what only its support can read."""
    said = " ".join(text.partition("Encoded authorization failure message")[0].split())
    short = said if len(said) <= LONGEST_TEXT else f"{said[:LONGEST_TEXT]}..."
    return CloudError(short or "no text", fault=fault.value, action=action)


def trouble(error: CloudError) -> CloudTrouble:
    """Put an error into the status."""
    return CloudTrouble(CloudFault(error.fault), error.action, str(error))
