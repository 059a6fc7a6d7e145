"""`flanpyctl status`: the local daemon's health, for people, scripts and `--wait`.

Owns the wording: what is wrong comes with its evidence and cure, causes before what they explain. `-o json` is the
daemon's `/v1/status` unchanged: version, node_id, pid, started_at, phase, ready, conditions, network, own, underlay,
backend, peers, store, passes.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from flanpy.cli.base.control import Control
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_table
from flanpy.cli.base.wording import duration
from flanpy.errors import ControlError, ControlUnreachable

POLL_S: Final = 0.2

TAKEN: Final = frozenset({"TunnelTaken", "PortTaken"})
"""Reasons of BackendReady: another program, flanneld, runs the tunnel."""

Said = Mapping[str, Any]


def show(arguments: Namespace, host: Host) -> Exit:
    """Print the status; UNHEALTHY unless the daemon is ready."""
    waits = arguments.wait or arguments.standby
    until = _is_on_standby if arguments.standby else _is_ready
    said = _waited(host.control, arguments.timeout, until) if waits else host.control.get("status")
    if arguments.output != "table":
        print_as(arguments.output, said)
    else:
        _print(said)
    if until(said):
        return Exit.OK
    raise CommandError(Exit.UNHEALTHY, f"flanpyd is not ready ({said.get('phase')}): {_unhealthy(said)}")


def _is_ready(said: Said) -> bool:
    return bool(said.get("ready"))


def _is_on_standby(said: Said) -> bool:
    """Ready, or kept from it only by another program that has the tunnel, to be taken over when that one ends."""
    reasons = {one["type"]: one["reason"] for one in said.get("conditions", ())}
    return _is_ready(said) or reasons.get("BackendReady") in TAKEN


def _waited(control: Control, timeout: float, until: Callable[[Said], bool]) -> Said:
    """The first status that will do, else the last one had. ControlUnreachable if there never was any."""
    deadline = time.monotonic() + timeout
    last: Said | None = None
    while True:
        try:
            last = control.get("status")
            if until(last):
                return last
        except ControlError as error:
            trouble = error
        if time.monotonic() + POLL_S > deadline:
            break
        time.sleep(POLL_S)
    if last is None:
        raise ControlUnreachable(f"{trouble} (waited {timeout:g} s)") from trouble
    return last


def _unhealthy(said: Said) -> str:
    bad = [_complaint(one) for one in said.get("conditions", ()) if not one.get("healthy")]
    return "; ".join(bad) or "no condition says why, see its log"


def _complaint(condition: Said) -> str:
    words = f"{condition['type']} {condition['status']} ({condition['reason']})"
    message, cure = condition.get("message"), condition.get("cure")
    return words + (f": {message}" if message else "") + (f", {cure}" if cure else "")


def _print(said: Said) -> None:
    now = time.time()
    lines = list(_lines(said, now))
    width = max(len(title) for title, _ in lines)
    for title, text in lines:
        print(f"{title:<{width}}  {text}")
    conditions = said.get("conditions") or ()
    for number, block in enumerate(troubles(conditions, now), 1):
        print(f"\nTrouble {number}: {block[0]}")
        for title, text in block[1:]:
            print(f"  {title:<9} {text}")
    if well := [one for one in conditions if one.get("healthy")]:
        print()
        print_table(conditions_table(well, now))


def troubles(conditions: Sequence[Said], now: float) -> Iterator[tuple[Any, ...]]:
    """Of each unhealthy condition, in the daemon's order (causes first), a title and lines (what they say, text)."""
    bad = {one["type"] for one in conditions if not one.get("healthy")}
    for one in conditions:
        if one["type"] not in bad:
            continue
        since = f", for {duration(now - one['since'])}" if one.get("since") else ""
        causes = [name for name in one.get("depends_on") or () if name in bad]
        evidence = [line for line in one.get("evidence") or () if line not in one.get("message", "")]
        yield (
            f"{one['type']} {one['status']}, {one['reason']}{since}",
            ("what", one.get("message", "")),
            *(("", line) for line in evidence),
            *([("cure", one["cure"])] if one.get("cure") else []),
            *([("see first", ", ".join(causes))] if causes else []),
        )


def _lines(said: Said, now: float) -> Iterator[tuple[str, str]]:
    up = duration(now - said["started_at"])
    yield "Daemon", f"{said['phase']}, flanpyd {said['version']}, pid {said['pid']}, up {up}"
    yield "Host", _host(said)
    yield "Network", _network(said.get("network"))
    yield "Subnet", _own(said.get("own"))
    yield "Underlay", _underlay(said.get("underlay"))
    yield "Backend", _backend(said.get("backend"))
    if plane := (said.get("backend") or {}).get("data_plane"):
        yield "Data plane", str(plane)
    yield "Peers", _reached(said.get("peers"), said.get("backend"))
    yield "etcd", _store(said.get("store"))
    yield "Passes", _passes(said.get("passes"))


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
    return "leased" if left is None else f"expires in {duration(left)}"


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


def _store(store: Said | None) -> str:
    if not store:
        return "not asked yet"
    words = f"{store.get('endpoint') or 'no endpoint yet'}, revision {store.get('revision')}"
    if outage := store.get("outage_since"):
        return f"{words}, out of reach for {duration(time.time() - outage)}: the last view is used"
    return words + (", stale" if store.get("stale") else "")


def _passes(passes: Said | None) -> str:
    if not passes:
        return "none"
    words = f"{passes.get('count')}, the last took {passes.get('last_took_ms')} ms"
    extra = [
        f"{title} {_counts(passes.get(title))}"
        for title in ("resyncs", "repairs")
        if any((passes.get(title) or {}).values())
    ]
    return "; ".join([f"{words} for {passes.get('last_ops')} changes", *extra])


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
    return Table(("OK", "CONDITION", "STATUS", "FOR", "REASON", "MESSAGE"), rows)
