"""One subnet as the commands show it, whether it came from the daemon's socket or from etcd.

Owns the columns of the table and the keys of the JSON (`SubnetRow`'s fields, stable). Must not ask anybody anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from flanpy.cli.base.hosts import answers
from flanpy.cli.base.output import Table
from flanpy.cli.base.wording import duration, yes


@dataclass(frozen=True, slots=True)
class SubnetRow:
    """A lease or reservation; its fields are the keys of `subnets -o json`.

    `key` is the last part of the etcd key. `host` is the host's name for people, "" for flannel's. `own` is None where
    it cannot be told (another host's etcd only).
    `expires_in` is seconds, None for a reservation and where it was not asked. `state` is own, programmed, pending,
    failed or rejected if the local daemon said so, else "". Addresses and MACs are text, "" where absent. `way` is how
    the local daemon reaches the peer: direct, tunnel, command or none, and `way_reason` why.
    """

    key: str
    subnet: str = ""
    subnet6: str = ""
    node_id: str = ""
    host: str = ""
    public_ip: str = ""
    public_ip6: str = ""
    backend_type: str = ""
    vtep_mac: str = ""
    vtep_mac6: str = ""
    vni: int | None = None
    lease_id: int = 0
    reservation: bool = False
    own: bool | None = None
    state: str = ""
    reason: str = ""
    way: str = ""
    way_reason: str = ""
    expires_in: int | None = None

    @classmethod
    def from_daemon(cls, said: Mapping[str, Any]) -> SubnetRow:
        """A row of the daemon's `/v1/subnets`; keys we do not know are left out, nulls are our empty values."""
        return cls(**{name: said[name] for name in _FIELDS if said.get(name) is not None})

    @property
    def name(self) -> str:
        """Return the name that `-o name` prints and `subnets show` takes."""
        return self.subnet or self.subnet6 or self.key

    def answers_to(self, word: str) -> bool:
        """Report whether an operator's word names this subnet: its range, key, host, or an address of either."""
        return answers(self.as_json(), word)

    def as_json(self) -> dict[str, Any]:
        """Field by field."""
        return asdict(self)


_FIELDS = tuple(field.name for field in fields(SubnetRow))


@dataclass(frozen=True, slots=True)
class Listing:
    """The content of `subnets`: the rows, the unusable keys with the reason for each, and the freshness."""

    rows: tuple[SubnetRow, ...]
    invalid: tuple[tuple[str, str], ...] = ()
    revision: int = 0
    stale: bool = False
    has_expiry: bool = False

    def with_expiry(self, remaining: Mapping[int, int]) -> Listing:
        """The same with `expires_in` filled from seconds left by lease id."""
        rows = tuple(replace(row, expires_in=remaining.get(row.lease_id)) for row in self.rows)
        return replace(self, rows=rows, has_expiry=True)

    def as_json(self) -> dict[str, Any]:
        """`{"revision", "stale", "subnets": [SubnetRow...], "invalid": [{"key", "reason"}]}`."""
        return {
            "revision": self.revision,
            "stale": self.stale,
            "subnets": [row.as_json() for row in self.rows],
            "invalid": [{"key": key, "reason": reason} for key, reason in self.invalid],
        }


def listing_from_daemon(said: Mapping[str, Any]) -> Listing:
    """The daemon's `/v1/subnets`."""
    subnets = said.get("subnets", ())
    return Listing(
        rows=tuple(SubnetRow.from_daemon(row) for row in subnets),
        invalid=tuple(
            (str(bad.get("key", "")), str(bad.get("reason", ""))) for bad in said.get("invalid", ())
        ),
        revision=int(said.get("revision") or 0),
        stale=bool(said.get("stale")),
        has_expiry=bool(subnets) and all("expires_in" in row for row in subnets),
    )


def table_of(listing: Listing, *, wide: bool = False) -> Table:
    """The columns: subnet and public address of both families share one, as `10.50.1.0/24,fd50:1::/64`."""
    titles = ["HOST", "SUBNET", "PUBLIC IP", "BACKEND", "VTEP MAC"]
    titles += ["EXPIRY"] if listing.has_expiry else []
    titles += ["RESERVED", "OWN"]
    titles += ["NODE ID", "VNI", "LEASE", "STATE", "WAY", "REASON"] if wide else []
    rows = tuple(_cells(row, expiry=listing.has_expiry, wide=wide) for row in listing.rows)
    drops = () if wide else ("VTEP MAC", "RESERVED", "BACKEND", "EXPIRY")
    return Table(tuple(titles), rows, _styles(listing.rows), drops)


def _cells(row: SubnetRow, *, expiry: bool, wide: bool) -> tuple[str, ...]:
    cells = [
        row.host or row.node_id,
        _both(row.subnet, row.subnet6),
        _both(row.public_ip, row.public_ip6),
        row.backend_type,
        _both(row.vtep_mac, row.vtep_mac6),
    ]
    cells += [expiry_text(row)] if expiry else []
    cells += [yes(row.reservation), "?" if row.own is None else yes(row.own)]
    if wide:
        vni = "" if row.vni is None else str(row.vni)
        cells += [row.node_id, vni, f"{row.lease_id:x}" if row.lease_id else "", row.state, row.way]
        cells += [row.reason or row.way_reason]
    return tuple(cells)


def expiry_text(row: SubnetRow) -> str:
    """`never` for a reservation, `gone` for a lease that ended while we asked."""
    if row.reservation:
        return "never"
    return "gone" if row.expires_in is None else duration(row.expires_in)


def _both(first: str, second: str) -> str:
    return ",".join(filter(None, (first, second)))


def _styles(rows: Sequence[SubnetRow]) -> dict[int, str]:
    tones = {"failed": "red", "rejected": "red", "pending": "yellow"}
    found = {number: tones.get(row.state, "bold" if row.own else "") for number, row in enumerate(rows)}
    return {number: tone for number, tone in found.items() if tone}
