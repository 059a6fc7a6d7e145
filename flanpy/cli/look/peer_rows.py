"""One peer as commands show it, read from the daemon's `/v1/peers`. Owns the words for figures; sends no request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flanpy.api.leases import PeerDocument, PeersDocument, SessionDocument
from flanpy.api.reading import read
from flanpy.cli.base.output import Table
from flanpy.cli.base.wording import duration, natural

_TONES = {"unreachable": "red", "lossy": "yellow"}
_BAD_STATES = {"failed", "rejected"}


def peers_of(said: Mapping[str, Any]) -> list[PeerDocument]:
    """Return a `/v1/peers`' as people sort names: `h2` before `h10`, and flannel's, which have none, last."""
    peers = read(PeersDocument, said).peers
    return sorted(peers, key=lambda peer: (not (peer.host or peer.node_id), natural(name_of(peer))))


def name_of(peer: PeerDocument) -> str:
    """Return the peer's name for sentences: its host name, else its address; flannel's hosts have no name."""
    return peer.host or peer.node_id or peer.public_ip or subnets_of(peer)


def subnets_of(peer: PeerDocument) -> str:
    """Of both families, as `10.50.2.0/24,fd50:1:0:2::/64`."""
    return ",".join(filter(None, (peer.subnet, peer.subnet6)))


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


def path_mtu(peer: PeerDocument) -> str:
    """`1450`, or `1350 of 1450` where less passes than should."""
    passed, wanted = peer.path_mtu, peer.path_mtu_wanted
    if not wanted:
        return ""
    return str(passed) if passed >= wanted else f"{passed or 'none'} of {wanted}"


def why(peer: PeerDocument) -> str:
    """Return the peer's faults in one line."""
    probed = ": ".join(filter(None, (peer.trouble, peer.evidence)))
    return "; ".join(filter(None, (peer.reason, probed)))


def is_broken(peer: PeerDocument) -> bool:
    """Report whether probes found a fault: the peer does not answer, or not to every probe, or there is a diagnosis."""
    return peer.reach in {"unreachable", "lossy"} or bool(peer.trouble)


def table_of(peers: Iterable[PeerDocument], *, now: float, wide: bool = False) -> Table:
    """The columns; RTT and loss are of the overlay."""
    rows = tuple(peers)
    titles = ("HOST", "SUBNET", "STATE", "REACH", "RTT", "LOSS", "PATH MTU", "CHANGED")
    more = ("NODE ID", "PUBLIC IP", "WAY", "UNDERLAY RTT", "UNDERLAY LOSS") if wide else ()
    cells = tuple(_cells(peer, now, wide=wide) for peer in rows)
    if wide and any(peer.wireguard for peer in rows):
        more = (*more, "KEY", "ENDPOINT", "HANDSHAKE", "RECEIVED", "SENT")
        cells = tuple(
            (*row[:-1], *_session(peer, now), row[-1]) for row, peer in zip(cells, rows, strict=True)
        )
    drops = () if wide else ("CHANGED", "PATH MTU", "LOSS", "STATE")
    return Table((*titles, *more, "REASON"), cells, _styles(rows), drops)


def _cells(peer: PeerDocument, now: float, *, wide: bool) -> tuple[str, ...]:
    changed = peer.changed_at
    cells = [
        peer.host or peer.node_id,
        subnets_of(peer),
        peer.state,
        peer.reach,
        milliseconds(peer.rtt_ms),
        share(peer.loss),
        path_mtu(peer),
        f"{duration(now - changed)} ago" if changed else "",
    ]
    if wide:
        cells += [
            peer.node_id,
            peer.public_ip or "",
            peer.way,
            milliseconds(peer.underlay_rtt_ms),
            share(peer.underlay_loss),
        ]
    return (*cells, why(peer))


def _session(peer: PeerDocument, now: float) -> tuple[str, ...]:
    """The peer's key, where its packets come from, and the last handshake, of each device."""
    seen = peer.wireguard
    handshakes = [f"{duration(now - one.handshake_at)} ago" if one.handshake_at else "none" for one in seen]
    return (
        ",".join(dict.fromkeys(one.key for one in seen)),
        ",".join(_endpoint(one) for one in seen),
        ",".join(handshakes),
        natural_bytes(sum(one.received for one in seen)) if seen else "",
        natural_bytes(sum(one.sent for one in seen)) if seen else "",
    )


def _endpoint(one: SessionDocument) -> str:
    """`192.0.2.12:51820`, with what the lease says where it is another."""
    if one.endpoint == one.endpoint_wanted or not one.endpoint_wanted:
        return one.endpoint or "none"
    return f"{one.endpoint or 'none'} (lease: {one.endpoint_wanted})"


def natural_bytes(count: int) -> str:
    """`512 B`, `3.4 kB`, `1.2 GB`."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 100 else f"{size:.1f} {units[0]}"


def _styles(peers: tuple[PeerDocument, ...]) -> dict[int, str]:
    tones = {
        number: "red" if peer.state in _BAD_STATES else _TONES.get(peer.reach, "")
        for number, peer in enumerate(peers)
    }
    return {number: tone for number, tone in tones.items() if tone}
