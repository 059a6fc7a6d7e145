"""The text of `flanpyctl status`: the two verdicts first, what to do, then this host in a few lines.

Owns the wording. Consequences are folded under their cause, and what is well is counted; `-v` shows both in full.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flanpy.cli.base.output import Table, print_table
from flanpy.cli.base.screen import Tone, mark, say
from flanpy.cli.base.wording import duration, plural

Said = Mapping[str, Any]
Block = tuple[Any, ...]

_TONES: Final = {"well": Tone.GOOD, "impaired": Tone.WARN, "down": Tone.BAD, "unknown": Tone.UNSURE}


def verdict_of(said: Said) -> Said:
    """Return the daemon's verdict on its host; of an older daemon, which gives none, its phase."""
    if found := said.get("verdict"):
        return dict(found)
    well = said.get("ready") and all(one.get("healthy") for one in said.get("conditions") or ())
    return {"state": "well" if well else "down", "text": f"this host is {said.get('phase')}"}


def is_well(said: Said) -> bool:
    """Report whether nothing is wrong with this host."""
    return verdict_of(said).get("state") == "well"


def show_status(said: Said, cluster: Said, *, verbose: bool) -> None:
    """Print it."""
    now, conditions = time.time(), said.get("conditions") or ()
    _verdict("This host", verdict_of(said))
    if cluster:
        _verdict("Cluster", cluster)
    print()
    for block in troubles(conditions, now, verbose=verbose):
        say(f"{mark(Tone.BAD)} {block[0]}", Tone.BAD)
        for title, text in block[1:]:
            say(f"{title:<9} {text}", Tone.FIX if title == "Fix" else Tone.PLAIN, indent=2, hang=12)
        print()
    lines = list(_lines(said, now, verbose=verbose))
    width = max(len(title) for title, _ in lines)
    for title, text in lines:
        say(f"{title:<{width}}  {text}", hang=width + 2)
    _well([one for one in conditions if one.get("healthy")], now, verbose=verbose)


def show_unknown() -> None:
    """Print the verdict of a host whose daemon does not answer: never the last one that it gave."""
    text = "unknown: flanpyd does not answer; packets go on as the kernel has it"
    _verdict("This host", {"state": "unknown", "text": text})
    _verdict("Cluster", {"state": "unknown", "text": "unknown: nobody here can ask the other hosts"})


def _verdict(title: str, verdict: Said) -> None:
    tone = _TONES.get(str(verdict.get("state")), Tone.UNSURE)
    say(f"{mark(tone)} {title:<10} {verdict.get('text')}", tone, hang=13)


def _well(conditions: Sequence[Said], now: float, *, verbose: bool) -> None:
    if verbose and conditions:
        print()
        print_table(conditions_table(conditions, now))
    elif conditions:
        print()
        say(f"{plural(len(conditions), 'condition')} well (-v shows each)", Tone.FAINT)


def troubles(conditions: Sequence[Said], now: float, *, verbose: bool = False) -> Iterator[Block]:
    """Of each cause (all that is bad if `verbose`), in the daemon's order, a title and lines (what they say, text)."""
    bad = {one["type"]: one for one in conditions if not one.get("healthy")}
    for one in bad.values():
        causes = [name for name in one.get("depends_on") or () if name in bad]
        if causes and not verbose:
            continue
        since = f", for {duration(now - one['since'])}" if one.get("since") else ""
        evidence = [line for line in one.get("evidence") or () if line not in one.get("message", "")]
        follows = [] if verbose else _following(one["type"], bad)
        yield (
            f"{one.get('message') or one['type']} ({one['type']} {one['reason']}{since})",
            *(("", line) for line in evidence),
            *([("Fix", one["cure"])] if one.get("cure") else []),
            *([("See first", ", ".join(causes))] if causes else []),
            *([("", f"{plural(len(follows), 'consequence')} (-v): {', '.join(follows)}")] if follows else []),
        )


def _following(cause: str, bad: Mapping[str, Said]) -> list[str]:
    """Return what is bad and explained by this cause, through others too; the daemon has causes first."""
    explained = [cause]
    for name, one in bad.items():
        if name not in explained and not {*explained}.isdisjoint(one.get("depends_on") or ()):
            explained.append(name)
    return explained[1:]


def _lines(said: Said, now: float, *, verbose: bool) -> Iterator[tuple[str, str]]:
    yield "Host", _host(said)
    yield "Network", _network(said.get("network"))
    yield "Subnet", _own(said.get("own"))
    yield "Underlay", _underlay(said.get("underlay"))
    yield "Backend", _backend(said.get("backend"))
    if plane := (said.get("backend") or {}).get("data_plane"):
        yield "Data plane", str(plane)
    yield "Peers", _reached(said.get("peers"), said.get("backend"))
    store = said.get("store") or {}
    yield "List" if store.get("listed") else "etcd", _store(store)
    if verbose:
        yield "Passes", _passes(said.get("passes"))
    up = duration(now - said["started_at"])
    yield "Daemon", f"{said['phase']}, flanpyd {said['version']}, pid {said['pid']}, up {up}"


def _host(said: Said) -> str:
    """`web-1, node id 8b59ba4216721489`; the node id alone where it is the name."""
    host, node_id = said.get("host"), str(said["node_id"])
    return node_id if host in {None, "", node_id} else f"{host}, node id {node_id}"


def _network(network: Said | None) -> str:
    if not network:
        return "no network config yet"
    ranges = ", ".join(filter(None, (network.get("network"), network.get("network6"))))
    return f"{ranges}, a /{network.get('subnet_len')} for each host, backend {network.get('backend_type')}"


def _own(own: Said | None) -> str:
    if not own:
        return "none leased yet"
    subnets = ", ".join(filter(None, (own.get("subnet"), own.get("subnet6"))))
    addresses = ", ".join(filter(None, (own.get("public_ip"), own.get("public_ip6"))))
    source = " (from disk, etcd has not confirmed it)" if own.get("source") == "disk" else ""
    return f"{subnets} as {addresses}, {_end(own)}{source}"


def _end(own: Said) -> str:
    if own.get("reservation"):
        return "reserved"
    left = own.get("expires_in")
    return "leased" if left is None else f"leased for {duration(left)}, renews itself"


def _underlay(underlay: Said | None) -> str:
    if not underlay:
        return "no link chosen yet"
    addresses = ", ".join(filter(None, (underlay.get("address"), underlay.get("address6"))))
    reason = str(underlay.get("reason", "")).removeprefix(f"{underlay.get('link')}: ")
    return f"{underlay.get('link')} {addresses}, MTU {underlay.get('mtu')} ({reason})"


def _backend(backend: Said | None) -> str:
    if not backend:
        return "none yet"
    links = ", ".join(link["name"] for link in backend.get("links") or ()) or "no link"
    moving = f", moving from {backend['moving_from']}" if backend.get("moving_from") else ""
    return f"{backend.get('type')} on {links}, MTU {backend.get('mtu')}{moving}"


def _reached(peers: Said | None, backend: Said | None) -> str:
    """`3 wanted, 3 programmed (1 direct, 2 tunnel)`: the ways only where they differ."""
    ways = (backend or {}).get("ways") or {}
    return _counts(peers) + (f" ({_ways(ways)})" if len(ways) > 1 else "")


def _ways(ways: Said) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(ways.items()))


def _counts(counts: Said | None) -> str:
    """`3 wanted, 2 programmed, 1 failed`: all but the zeros, wanted always."""
    shown = [f"{count} {name}" for name, count in (counts or {}).items() if count or name == "wanted"]
    return ", ".join(shown) or "none"


def _store(store: Said) -> str:
    if not store:
        return "not asked yet"
    words = f"{store.get('endpoint') or 'no endpoint yet'}, revision {store.get('revision')}"
    if outage := store.get("outage_since"):
        lost = "unusable" if store.get("listed") else "out of reach"
        return f"{words}, {lost} for {duration(time.time() - outage)}: the last view is used"
    return words + (", stale" if store.get("stale") else "")


def _passes(passes: Said | None) -> str:
    if not passes:
        return "none"
    words = f"{passes.get('count')}, the last took {passes.get('last_took_ms') or 0:.1f} ms"
    extra = [
        f"{title} {_counts(passes.get(title))}"
        for title in ("resyncs", "repairs")
        if any((passes.get(title) or {}).values())
    ]
    return "; ".join([f"{words} for {plural(int(passes.get('last_ops') or 0), 'change')}", *extra])


def conditions_table(conditions: Sequence[Said], now: float) -> Table:
    """Healthy ones, in the daemon's order; a dash marks what is not known, and need not be."""
    rows = tuple(
        (
            "-" if one["status"] == "Unknown" else "ok",
            str(one["type"]),
            str(one["status"]),
            duration(now - one["since"]) if one.get("since") else "",
            str(one.get("reason", "")),
            str(one.get("message", "")),
        )
        for one in conditions
    )
    return Table(
        ("OK", "CONDITION", "STATUS", "FOR", "REASON", "MESSAGE"), rows, {}, ("STATUS", "FOR", "REASON")
    )
