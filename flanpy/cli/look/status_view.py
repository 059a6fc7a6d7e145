"""The text of `flanpyctl status`: the two verdicts first, what to do, then this host in a few lines.

Owns the wording. Consequences are folded under their cause, and what is well is counted; `-v` shows both in full.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flanpy.api.status import (
    BackendDocument,
    ConditionDocument,
    NetworkDocument,
    OwnDocument,
    PassesDocument,
    PeerCountsDocument,
    StatusDocument,
    StoreDocument,
    UnderlayDocument,
    VerdictDocument,
)
from flanpy.cli.base.output import Table, print_table
from flanpy.cli.base.screen import Tone, mark, say
from flanpy.cli.base.wording import duration, plural

Block = tuple[Any, ...]

_TONES: Final = {"well": Tone.GOOD, "impaired": Tone.WARN, "down": Tone.BAD, "unknown": Tone.UNSURE}


def verdict_of(said: StatusDocument) -> VerdictDocument:
    """Return the daemon's verdict on its host; of an older daemon, which gives none, its phase."""
    if said.verdict is not None:
        return said.verdict
    well = said.ready and all(one.healthy for one in said.conditions)
    return VerdictDocument("well" if well else "down", f"this host is {said.phase}", "", "", ())


def unknown(text: str) -> VerdictDocument:
    """Return the verdict on what cannot be told."""
    return VerdictDocument("unknown", text, "", "", ())


def is_well(verdict: VerdictDocument) -> bool:
    """Report whether nothing is wrong."""
    return verdict.state == "well"


def show_status(said: StatusDocument, cluster: VerdictDocument, *, verbose: bool) -> None:
    """Print it; a `cluster` without a text is left out."""
    now = time.time()
    _verdict("This host", verdict_of(said))
    if cluster.text:
        _verdict("Cluster", cluster)
    print()
    for block in troubles(said.conditions, now, verbose=verbose):
        say(f"{mark(Tone.BAD)} {block[0]}", Tone.BAD)
        for title, text in block[1:]:
            say(f"{title:<9} {text}", Tone.FIX if title == "Fix" else Tone.PLAIN, indent=2, hang=12)
        print()
    lines = list(_lines(said, now, verbose=verbose))
    width = max(len(title) for title, _ in lines)
    for title, text in lines:
        say(f"{title:<{width}}  {text}", hang=width + 2)
    _well([one for one in said.conditions if one.healthy], now, verbose=verbose)


def show_unknown() -> None:
    """Print the verdict of a host whose daemon does not answer: never the last one that it gave."""
    _verdict("This host", unknown("unknown: flanpyd does not answer; packets go on as the kernel has it"))
    _verdict("Cluster", unknown("unknown: nobody here can ask the other hosts"))


def _verdict(title: str, verdict: VerdictDocument) -> None:
    tone = _TONES.get(verdict.state, Tone.UNSURE)
    say(f"{mark(tone)} {title:<10} {verdict.text}", tone, hang=13)


def _well(conditions: Sequence[ConditionDocument], now: float, *, verbose: bool) -> None:
    if verbose and conditions:
        print()
        print_table(conditions_table(conditions, now))
    elif conditions:
        print()
        say(f"{plural(len(conditions), 'condition')} well (-v shows each)", Tone.FAINT)


def troubles(
    conditions: Sequence[ConditionDocument], now: float, *, verbose: bool = False
) -> Iterator[Block]:
    """Of each cause (all that is bad if `verbose`), in the daemon's order, a title and lines (what they say, text)."""
    bad = {one.type: one for one in conditions if not one.healthy}
    for one in bad.values():
        causes = [name for name in one.depends_on if name in bad]
        if causes and not verbose:
            continue
        since = f", for {duration(now - one.since)}" if one.since else ""
        evidence = [line for line in one.evidence if line not in one.message]
        follows = [] if verbose else _following(one.type, bad)
        yield (
            f"{one.message or one.type} ({one.type} {one.reason}{since})",
            *(("", line) for line in evidence),
            *([("Fix", one.cure)] if one.cure else []),
            *([("See first", ", ".join(causes))] if causes else []),
            *([("", f"{plural(len(follows), 'consequence')} (-v): {', '.join(follows)}")] if follows else []),
        )


def _following(cause: str, bad: Mapping[str, ConditionDocument]) -> list[str]:
    """Return what is bad and explained by this cause, through others too; the daemon has causes first."""
    explained = [cause]
    for name, one in bad.items():
        if name not in explained and not {*explained}.isdisjoint(one.depends_on):
            explained.append(name)
    return explained[1:]


def _lines(said: StatusDocument, now: float, *, verbose: bool) -> Iterator[tuple[str, str]]:
    yield "Host", _host(said)
    yield "Network", _network(said.network)
    yield "Subnet", _own(said.own)
    yield "Underlay", _underlay(said.underlay)
    yield "Backend", _backend(said.backend)
    if said.backend is not None and said.backend.data_plane:
        yield "Data plane", said.backend.data_plane
    yield "Peers", _reached(said.peers, said.backend)
    yield "List" if said.store.listed else "etcd", _store(said.store)
    if verbose:
        yield "Passes", _passes(said.passes)
    up = duration(now - said.started_at)
    yield "Daemon", f"{said.phase}, flanpyd {said.version}, pid {said.pid}, up {up}"


def _host(said: StatusDocument) -> str:
    """`web-1, node id 8b59ba4216721489`; the node id alone where it is the name."""
    return said.node_id if said.host in {"", said.node_id} else f"{said.host}, node id {said.node_id}"


def _network(network: NetworkDocument | None) -> str:
    if network is None:
        return "no network config yet"
    ranges = _both(network.network, network.network6)
    return f"{ranges}, a /{network.subnet_len} for each host, backend {network.backend_type}"


def _own(own: OwnDocument | None) -> str:
    if own is None:
        return "none leased yet"
    source = " (from disk, etcd has not confirmed it)" if own.source == "disk" else ""
    return f"{_both(own.subnet, own.subnet6)} as {_both(own.public_ip, own.public_ip6)}, {_end(own)}{source}"


def _end(own: OwnDocument) -> str:
    if own.reservation:
        return "reserved"
    return "leased" if own.expires_in is None else f"leased for {duration(own.expires_in)}, renews itself"


def _both(first: str | None, second: str | None) -> str:
    return ", ".join(filter(None, (first, second)))


def _underlay(underlay: UnderlayDocument | None) -> str:
    if underlay is None:
        return "no link chosen yet"
    reason = underlay.reason.removeprefix(f"{underlay.link}: ")
    return f"{underlay.link} {_both(underlay.address, underlay.address6)}, MTU {underlay.mtu} ({reason})"


def _backend(backend: BackendDocument | None) -> str:
    if backend is None:
        return "none yet"
    links = ", ".join(link.name for link in backend.links) or "no link"
    moving = f", moving from {backend.moving_from}" if backend.moving_from else ""
    return f"{backend.type} on {links}, MTU {backend.mtu}{moving}"


def _reached(peers: PeerCountsDocument, backend: BackendDocument | None) -> str:
    """`3 wanted, 3 programmed (1 direct, 2 tunnel)`: the ways only where they differ."""
    ways = backend.ways if backend is not None else {}
    known = ", ".join(f"{count} {name}" for name, count in sorted(ways.items()))
    others = {
        "programmed": peers.programmed,
        "pending": peers.pending,
        "failed": peers.failed,
        "rejected": peers.rejected,
    }
    return ", ".join((f"{peers.wanted} wanted", *_counts(others))) + (f" ({known})" if len(ways) > 1 else "")


def _counts(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield `2 programmed`, `1 failed`: all but the zeros."""
    return (f"{count} {name}" for name, count in counts.items() if count)


def _store(store: StoreDocument) -> str:
    server = f"etcd {store.version}" if store.version[:1].isdigit() else store.version
    words = ", ".join(
        filter(None, (store.endpoint or "no endpoint yet", f"revision {store.revision}", server))
    )
    if store.outage_since:
        lost = "unusable" if store.listed else "out of reach"
        return f"{words}, {lost} for {duration(time.time() - store.outage_since)}: the last view is used"
    return words + (", stale" if store.stale else "")


def _passes(passes: PassesDocument) -> str:
    if not passes.count:
        return "none"
    words = f"{passes.count}, the last took {passes.last_took_ms or 0:.1f} ms"
    extra = [
        f"{title} {', '.join(_counts(found))}"
        for title, found in (("resyncs", passes.resyncs), ("repairs", passes.repairs))
        if any(found.values())
    ]
    return "; ".join([f"{words} for {plural(passes.last_ops, 'change')}", *extra])


def conditions_table(conditions: Sequence[ConditionDocument], now: float) -> Table:
    """Healthy ones, in the daemon's order; a dash marks what is not known, and need not be."""
    rows = tuple(
        (
            "-" if one.status == "Unknown" else "ok",
            one.type,
            one.status,
            duration(now - one.since) if one.since else "",
            one.reason,
            one.message,
        )
        for one in conditions
    )
    return Table(
        ("OK", "CONDITION", "STATUS", "FOR", "REASON", "MESSAGE"), rows, {}, ("STATUS", "FOR", "REASON")
    )
