"""The space taken in one address family while leases are judged: subnets, public addresses, and VTEP MACs.

Numbers and bytes, not addresses: hashing an `ipaddress` object costs as much as all other checks of a lease. Mutable,
and owned by one judge of `plan.admission`; knows no rule.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from flanpy.model.address import Family, IPNetwork
from flanpy.model.lease import Lease


@dataclass(frozen=True, slots=True)
class Vtep:
    """The owner of a MAC, its public address, and the number of leases that say the same. `owner` None: this host."""

    owner: Lease | None
    public: int
    shared: int = 1


@dataclass(slots=True)
class Space:
    """The subnets of one family taken so far, as sorted disjoint ranges of numbers, and who took them (None: we)."""

    family: Family
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    owners: list[Lease | None] = field(default_factory=list)
    publics: list[int] = field(default_factory=list)
    vteps: dict[bytes, Vtep] = field(default_factory=dict)
    guests: dict[bytes, tuple[tuple[int, Lease], ...]] = field(default_factory=dict)
    """By MAC, the public addresses and leases that carry it without a node id."""

    def at(self, number: int) -> int:
        """Return the index of the range that holds `number`, or -1."""
        index = bisect_right(self.starts, number) - 1
        return index if index >= 0 and number <= self.ends[index] else -1

    def overlapped(self, start: int, end: int) -> int:
        """Return the index of a range that shares a number with start..end, or -1."""
        index = bisect_right(self.starts, end) - 1
        return index if index >= 0 and self.ends[index] >= start else -1

    def covered_public(self, start: int, end: int) -> bool:
        """Report whether start..end holds the public address of the owner of a range."""
        index = bisect_right(self.publics, end) - 1
        return index >= 0 and self.publics[index] >= start

    def elsewhere(self, mac: bytes, public: int) -> Vtep | None:
        """Return the VTEP that has this MAC at another public address; one FDB entry cannot point to both."""
        known = self.vteps.get(mac)
        return known if known is not None and known.public != public else None

    def take(self, start: int, end: int, owner: Lease | None, public: int) -> None:
        """Take a range that overlaps none, and the public address that belongs to it."""
        index = bisect_right(self.starts, start)
        self.starts.insert(index, start)
        self.ends.insert(index, end)
        self.owners.insert(index, owner)
        self.publics.insert(bisect_right(self.publics, public), public)

    def take_mac(self, mac: bytes, owner: Lease | None, public: int) -> None:
        """Take a MAC that no lease has elsewhere."""
        known = self.vteps.get(mac)
        self.vteps[mac] = (
            Vtep(owner, public) if known is None else Vtep(known.owner, public, known.shared + 1)
        )

    def take_guest(self, mac: bytes, owner: Lease, public: int) -> None:
        """Note a lease without a node id that has a MAC: it keeps the MAC until a lease with a node id has it."""
        self.guests[mac] = (*self.guests.get(mac, ()), (public, owner))

    def guests_elsewhere(self, mac: bytes, public: int) -> list[Lease]:
        """Return the leases without a node id that have this MAC at another public address."""
        return [lease for at, lease in self.guests.get(mac, ()) if at != public]

    def release_guest(self, mac: bytes, public: int) -> None:
        """Take back the note of `take_guest` for one lease."""
        rest = list(self.guests.pop(mac))
        del rest[[at for at, _ in rest].index(public)]
        if rest:
            self.guests[mac] = tuple(rest)

    def release(self, start: int, public: int) -> None:
        """Take back the range that starts at `start`, with its public address."""
        index = bisect_left(self.starts, start)
        del self.starts[index], self.ends[index], self.owners[index]
        del self.publics[bisect_left(self.publics, public)]

    def release_mac(self, mac: bytes) -> None:
        """Take back one lease's MAC."""
        known = self.vteps.pop(mac)
        if known.shared > 1:
            self.vteps[mac] = Vtep(known.owner, known.public, known.shared - 1)

    def copy(self) -> Space:
        """Return an equal copy that changes on its own."""
        return Space(
            self.family,
            [*self.starts],
            [*self.ends],
            [*self.owners],
            [*self.publics],
            {**self.vteps},
            {**self.guests},
        )


def numbers(subnet: IPNetwork) -> tuple[int, int]:
    """Return the first and last address as numbers; far cheaper to compare than `ipaddress` objects."""
    start = int(subnet.network_address)
    return start, start + (1 << (subnet.max_prefixlen - subnet.prefixlen)) - 1
