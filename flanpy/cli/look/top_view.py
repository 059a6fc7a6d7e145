"""The screen of `flanpyctl top`: one look as lines with a style each. Pure: the difference of two looks gives rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Final

from flanpy.api.leases import PeerDocument
from flanpy.api.status import StatusDocument
from flanpy.cli.base.output import Table, plain_table, printable
from flanpy.cli.base.wording import duration
from flanpy.cli.look.peer_rows import table_of

PEERS: Final = 20
"""The worst of them; an operator of thousands looks at the metrics."""

Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Counters:
    """A device's, since it was made"""

    rx_bytes: int
    tx_bytes: int
    rx_packets: int
    tx_packets: int
    rx_dropped: int
    tx_dropped: int
    rx_errors: int
    tx_errors: int

    @property
    def lost(self) -> int:
        """Packets that were dropped or broken."""
        return self.rx_dropped + self.tx_dropped + self.rx_errors + self.tx_errors

    def since(self, before: Counters) -> Counters:
        """Return the increase of each counter since `before`."""
        return Counters(*(new - old for new, old in zip(astuple(self), astuple(before), strict=True)))


_COLUMNS: Final = (0, 8, 1, 9, 3, 11, 2, 10)
"""Where `Counters`' fields stand in a line of /proc/net/dev."""


def counters_of(line: str) -> tuple[str, Counters]:
    """One line of /proc/net/dev."""
    name, _, figures = line.partition(":")
    values = figures.split()
    return name.strip(), Counters(*(int(values[column]) for column in _COLUMNS))


@dataclass(frozen=True, slots=True)
class TopSample:
    """The daemon's documents and the devices' counters at one time; `at` monotonic, `wall` since 1970."""

    at: float
    wall: float
    status: StatusDocument
    peers: Sequence[PeerDocument]
    counters: Mapping[str, Counters]


def text_of(now: TopSample, before: TopSample | None) -> list[Line]:
    """All lines, the important ones first."""
    lines = [*_head(now), *_conditions(now), ("", ""), *_peers(now), ("", ""), *_devices(now, before)]
    return [(printable(line), style) for line, style in lines]


def _head(now: TopSample) -> Iterator[Line]:
    said = now.status
    subnet = (said.own.subnet if said.own is not None else None) or "no subnet yet"
    up = duration(now.wall - said.started_at)
    yield (
        f"{said.host or said.node_id} {said.phase}, {subnet}, up {up}",
        "bold green" if said.ready else "bold red",
    )
    programmed = f"peers {said.peers.programmed} of {said.peers.wanted} programmed"
    made = f"passes {said.passes.count}, repairs {_repairs(said.passes.repairs)}"
    yield f"{programmed}, {made}", ""


def _repairs(kinds: Mapping[str, int]) -> str:
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()) if count)
    return f"{sum(kinds.values())} ({found})" if found else "0"


def _conditions(now: TopSample) -> Iterator[Line]:
    conditions = now.status.conditions
    bad = [one for one in conditions if not one.healthy]
    if not bad:
        yield f"all {len(conditions)} conditions are good", "green"
    for one in bad:
        since = f" for {duration(now.wall - one.since)}" if one.since else ""
        yield f"! {one.type} {one.status} {one.reason}{since}: {one.message}", "red"
        if one.cure:
            yield f"  Fix: {one.cure}", ""


def _peers(now: TopSample) -> Iterator[Line]:
    worst = sorted(now.peers, key=_badness)
    table = table_of(worst[:PEERS], now=now.wall)
    for number, line in enumerate(plain_table(table).splitlines(), -1):
        yield line, "bold" if number < 0 else table.styles.get(number, "")
    if len(worst) > PEERS:
        yield f"and {len(worst) - PEERS} more", "dim"


def _badness(peer: PeerDocument) -> tuple[bool, float, float]:
    """Failed first, then by loss, then by round trip, the longest first."""
    return (
        peer.state not in {"failed", "rejected"},
        -(peer.loss or 0),
        -(peer.rtt_ms or 0),
    )


def _devices(now: TopSample, before: TopSample | None) -> Iterator[Line]:
    rows = tuple((name, *_rates(name, now, before)) for name in now.counters)
    if rows:
        titles = ("DEVICE", "IN", "OUT", "PACKETS IN", "PACKETS OUT", "LOST")
        yield from ((line, "") for line in plain_table(Table(titles, rows)).splitlines())


def _rates(name: str, now: TopSample, before: TopSample | None) -> tuple[str, ...]:
    """Return rates per second between two looks; totals for a single look, or if the device was recreated meanwhile."""
    new = now.counters[name]
    old = before.counters.get(name) if before else None
    if before is None or old is None or new.rx_bytes < old.rx_bytes or new.tx_bytes < old.tx_bytes:
        return (*_amounts(new, 1.0, ""), str(new.lost))
    step = max(now.at - before.at, 1e-3)
    return (*_amounts(new.since(old), step, "/s"), str(new.lost))


def _amounts(counters: Counters, seconds: float, unit: str) -> tuple[str, ...]:
    return (
        f"{scaled(counters.rx_bytes / seconds)}B{unit}",
        f"{scaled(counters.tx_bytes / seconds)}B{unit}",
        f"{scaled(counters.rx_packets / seconds)}{unit}".strip(),
        f"{scaled(counters.tx_packets / seconds)}{unit}".strip(),
    )


def scaled(value: float) -> str:
    """`0 `, `12 `, `1.5 k`, `310 M`: three digits and a decimal prefix."""
    for prefix in ("", "k", "M", "G", "T"):
        if value < 999.5 or prefix == "T":
            break
        value /= 1000
    digits = f"{value:.1f}" if value < 10 and prefix else f"{value:.0f}"
    return f"{digits} {prefix}"
