"""One peer as commands show it, read from the daemon's `/v1/peers`. Owns the words for figures; sends no request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flanpy.cli.base.hosts import answers
from flanpy.cli.base.output import Table
from flanpy.cli.base.wording import duration, natural

Peer = Mapping[str, Any]

_TONES = {"unreachable": "red", "lossy": "yellow"}
_BAD_STATES = {"failed", "rejected"}


def name_of(peer: Peer) -> str:
    """Return the peer's name for sentences: its host name, else its address; flannel's hosts have no name."""
    return str(peer.get("host") or peer.get("node_id") or peer.get("public_ip") or subnets_of(peer))


def in_order(peers: Iterable[Peer]) -> list[Peer]:
    """Return the peers as people sort their names: `h2` before `h10`, and flannel's, which have none, last."""
    return sorted(
        peers, key=lambda peer: (not (peer.get("host") or peer.get("node_id")), natural(name_of(peer)))
    )


def subnets_of(peer: Peer) -> str:
    """Of both families, as `10.50.2.0/24,fd50:1:0:2::/64`."""
    return ",".join(filter(None, (peer.get("subnet"), peer.get("subnet6"))))


def milliseconds(value: float | None) -> str:
    """`0.41 ms`; nothing if there is no figure."""
    if value is None:
        return ""
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def share(loss: float | None) -> str:
    """A share of 0 to 1 as `0 %`, `12 %`, and never a loss as none."""
    if loss is None:
        return ""
    return "<1 %" if 0 < loss < 0.01 else f"{loss * 100:.0f} %"


def path_mtu(peer: Peer) -> str:
    """`1450`, or `1350 of 1450` where less passes than should."""
    passed, wanted = int(peer.get("path_mtu") or 0), int(peer.get("path_mtu_wanted") or 0)
    if not wanted:
        return ""
    return str(passed) if passed >= wanted else f"{passed or 'none'} of {wanted}"


def why(peer: Peer) -> str:
    """Return the peer's faults in one line."""
    trouble, evidence = peer.get("trouble") or "", peer.get("evidence") or ""
    probed = f"{trouble}: {evidence}" if trouble and evidence else trouble or evidence
    return "; ".join(filter(None, (peer.get("reason"), probed)))


def is_broken(peer: Peer) -> bool:
    """Report whether probes found a fault: the peer does not answer, or not to every probe, or there is a diagnosis."""
    return peer.get("reach") in {"unreachable", "lossy"} or bool(peer.get("trouble"))


def table_of(peers: Iterable[Peer], *, now: float, wide: bool = False) -> Table:
    """The columns; RTT and loss are of the overlay."""
    rows = tuple(peers)
    titles = ("HOST", "SUBNET", "STATE", "REACH", "RTT", "LOSS", "PATH MTU", "CHANGED")
    more = ("NODE ID", "PUBLIC IP", "WAY", "UNDERLAY RTT", "UNDERLAY LOSS") if wide else ()
    cells = tuple(_cells(peer, now, wide=wide) for peer in rows)
    drops = () if wide else ("CHANGED", "PATH MTU", "LOSS", "STATE")
    return Table((*titles, *more, "REASON"), cells, _styles(rows), drops)


def _cells(peer: Peer, now: float, *, wide: bool) -> tuple[str, ...]:
    changed = peer.get("changed_at")
    cells = [
        str(peer.get("host") or peer.get("node_id") or ""),
        subnets_of(peer),
        str(peer.get("state") or ""),
        str(peer.get("reach") or ""),
        milliseconds(peer.get("rtt_ms")),
        share(peer.get("loss")),
        path_mtu(peer),
        f"{duration(now - changed)} ago" if changed else "",
    ]
    if wide:
        cells += [
            str(peer.get("node_id") or ""),
            str(peer.get("public_ip") or ""),
            str(peer.get("way") or ""),
            milliseconds(peer.get("underlay_rtt_ms")),
            share(peer.get("underlay_loss")),
        ]
    return (*cells, why(peer))


def _styles(peers: tuple[Peer, ...]) -> dict[int, str]:
    tones = {
        number: "red" if peer.get("state") in _BAD_STATES else _TONES.get(str(peer.get("reach")), "")
        for number, peer in enumerate(peers)
    }
    return {number: tone for number, tone in tones.items() if tone}


def answers_to(peer: Peer, word: str) -> bool:
    """Report whether an operator's word names the peer: its host, its subnet, an address in that, or its public IP."""
    return answers(peer, word)
