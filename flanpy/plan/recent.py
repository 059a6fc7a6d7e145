"""Recent routes: the first to be doubted when etcd falls silent, for the border sees only part of the way to etcd.

An address that is translated, the far end of a tunnel, or a table that only a mark chooses can lie in a peer's subnet:
then that peer's route takes the way to etcd, and with it every fix in etcd. Owns the memory of routes just installed,
and the set of leases that are withheld. Pure; time comes in as monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from flanpy.model.address import IPNetwork
from flanpy.model.lease import Lease, LeaseView
from flanpy.model.world import NO_CLAIMS, Claim

RECENT = 10.0
"""Seconds before etcd was last heard from which on a new route is doubted."""

KEPT = 60.0
"""Seconds for which a new route is remembered: longer than the loss of etcd takes to show."""


@dataclass(frozen=True, slots=True)
class Recent:
    """`added` are the subnets that got their first route, and when; `withheld` the leases that get none."""

    added: Mapping[IPNetwork, float] = field(default_factory=lambda: MappingProxyType({}))
    withheld: frozenset[Claim] = NO_CLAIMS

    def with_new(self, subnets: Iterable[IPNetwork], now: float) -> Recent:
        """Note subnets whose first route was installed now."""
        kept = {subnet: at for subnet, at in self.added.items() if at > now - KEPT}
        return replace(self, added=MappingProxyType(kept | dict.fromkeys(subnets, now)))

    def doubted(self, peers: Iterable[Lease], heard: float) -> frozenset[Claim]:
        """Return the peers whose route came shortly before etcd was last heard, or since."""
        new = {subnet for subnet, at in self.added.items() if at >= heard - RECENT}
        if not new:
            return NO_CLAIMS
        return frozenset(
            (peer.key, peer.record)
            for peer in peers
            if not new.isdisjoint((peer.key.subnet, peer.key.subnet6))
        )

    def withholding(self, claims: frozenset[Claim]) -> Recent:
        """Withhold these as well."""
        return replace(self, withheld=self.withheld | claims)

    def releasing(self, claims: frozenset[Claim]) -> Recent:
        """Give these their routes back."""
        return replace(self, withheld=self.withheld - claims)

    def settled(self) -> Recent:
        """Doubt none of the present routes any more: each was tried."""
        return Recent(withheld=self.withheld)

    def after(self, view: LeaseView) -> Recent:
        """Forget the withheld leases that are gone, or say something else now; a lost watch tells of none."""
        if not self.withheld or view.stale:
            return self
        found = ((key, view.leases.get(str(key)), record) for key, record in self.withheld)
        stay = frozenset(
            (key, record) for key, lease, record in found if lease is not None and lease.record == record
        )
        return self if stay == self.withheld else replace(self, withheld=stay)
