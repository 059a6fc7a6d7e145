"""The diagnosis of a peer's reach from evidence. Pure: the same evidence gives the same words.

The most telling evidence comes first: this host's own faults explain the lost probes, and a dead underlay explains a
dead overlay.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field

from flanpy.model.reach import Diagnosis, PathMtu, Reach, Trouble


@dataclass(frozen=True, slots=True)
class LocalFaults:
    """Local faults, known to the daemon, that explain lost probes: a line each for people, "" where there is none.

    `underlay`: the reason for a missing underlay. `entries`: foreign entries that send this peer's packets to another
    MAC. `lacking`: the peer's entries that could not be written. `firewall`: the fault of the rules. `reverse_path`:
    the packets that a strict rp_filter drops.
    """

    underlay: str = ""
    entries: str = ""
    lacking: str = ""
    firewall: str = ""
    reverse_path: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The observations of one peer. `here`, `peer` and `address` name both ends, `port` the carrier of the overlay.

    `beneath`: the underlay answered; `tcp`: only to TCP. `ignores_pings`: over the overlay it answers to TCP only.
    `alone`: no other peer's underlay answers either, though there
    are others. `ever`: the peer answered at least once since this daemon began, over either path. `heard`,
    `heard_beneath`: the peer's probes arrive over the overlay and the underlay; `is_heard`: the peer reports that ours
    arrive. Each `errno` is the error of sending, 0 if nothing refused; `refused` names the sender of a refusal.
    """

    here: str
    peer: str
    address: str
    reach: Reach
    port: str = ""
    beneath: bool = False
    tcp: bool = False
    ignores_pings: bool = False
    alone: bool = False
    ever: bool = True
    heard: bool = False
    heard_beneath: bool = False
    is_heard: bool = False
    errno: int = 0
    errno_beneath: int = 0
    refused: str = ""
    refused_beneath: str = ""
    loss: float = 0.0
    loss_beneath: float = 0.0
    mtu: PathMtu = field(default_factory=PathMtu)
    local_faults: LocalFaults = field(default_factory=LocalFaults)


_NOTHING = Diagnosis()
_NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


def diagnose(seen: Evidence) -> Diagnosis:
    """Diagnose the peer; the result is empty for a peer that is well reached, or whose reach is unknown."""
    if seen.reach is Reach.UNKNOWN:
        return _NOTHING
    if seen.reach is Reach.UNREACHABLE:
        return _ours(seen) or _one_way(seen) or (_between(seen) if seen.beneath else _dead(seen))
    if not seen.mtu.is_whole:
        return _black_hole(seen)
    if seen.reach is Reach.LOSSY:
        return _loss(seen)
    return _ignoring(seen) if seen.ignores_pings else _NOTHING


def _ignoring(seen: Evidence) -> Diagnosis:
    """Return no trouble, but what cannot be measured."""
    return Diagnosis(
        Trouble.NONE,
        f"{seen.peer} does not answer pings; it answers to TCP over the overlay, which is well",
        f"for losses and path MTU to be measured, let it answer pings: on {seen.peer} see"
        " net.ipv4.icmp_echo_ignore_all, and what drops ICMP",
    )


def _ours(seen: Evidence) -> Diagnosis | None:
    """Return this host's own fault, None if it has none."""
    if seen.local_faults.underlay:
        return Diagnosis(
            Trouble.NO_UNDERLAY, seen.local_faults.underlay, "bring the underlay link up, or see --iface"
        )
    if errno.EPERM in {seen.errno, seen.errno_beneath}:
        return Diagnosis(
            Trouble.FIREWALL,
            f"the packet filter of {seen.here} refuses to let packets to {seen.peer} out",
            "see the output chains: nft list ruleset",
        )
    if seen.local_faults.entries:
        return Diagnosis(
            Trouble.WRONG_MAC,
            seen.local_faults.entries,
            "remove what stands in the way: flanpyctl diff shows it",
        )
    if seen.local_faults.lacking:
        return Diagnosis(
            Trouble.UNEXPLAINED,
            seen.local_faults.lacking,
            "see conditions PeersProgrammed and ForeignConflict",
        )
    if seen.errno_beneath in _NO_WAY:
        why = os.strerror(seen.errno_beneath).lower()
        return Diagnosis(
            Trouble.NO_UNDERLAY,
            f"{seen.here} cannot send to {seen.address}: {why}",
            f"give it a route: ip route get {seen.address}",
        )
    return None


def _one_way(seen: Evidence) -> Diagnosis | None:
    what = seen.port or "packets"
    if seen.heard and not seen.is_heard:
        return Diagnosis(
            Trouble.ONE_WAY_OUT,
            f"{seen.peer} is heard, but nothing from {seen.here} comes to it or no answer to that comes back",
            f"let {what} pass from {seen.here} to {seen.peer} ({seen.address})",
        )
    if seen.is_heard and not seen.heard:
        return Diagnosis(
            Trouble.ONE_WAY_IN,
            f"{seen.peer} hears {seen.here}, but nothing comes from it",
            f"let {what} pass from {seen.peer} ({seen.address}) to {seen.here}",
        )
    if not seen.beneath and seen.heard_beneath:
        return Diagnosis(
            Trouble.ONE_WAY_OUT,
            f"probes of {seen.peer} come in over the underlay, but none of {seen.here} is answered",
            f"look at what stands between {seen.here} and {seen.address} in that direction",
        )
    return None


def _dead(seen: Evidence) -> Diagnosis:
    """Diagnose a peer that answers over neither path."""
    if seen.refused_beneath:
        return Diagnosis(
            Trouble.FIREWALL,
            f"{seen.refused_beneath} refuses packets to {seen.address}",
            "see its packet filter",
        )
    if seen.alone:
        return Diagnosis(
            Trouble.NO_UNDERLAY,
            f"no peer answers {seen.here} over the underlay, {seen.address} among them",
            "look at the underlay link of this host and its cable",
        )
    if not seen.ever:
        return Diagnosis(
            Trouble.PEER_DOWN,
            f"{seen.address} has never answered {seen.here} since flanpyd began there",
            f"see whether {seen.peer} is there at all: its lease may outlive it until it expires",
        )
    return Diagnosis(
        Trouble.PEER_DOWN,
        f"{seen.address} answers neither over the underlay nor over the overlay",
        f"see whether {seen.peer} runs, and what stands between it and {seen.here}",
    )


def _between(seen: Evidence) -> Diagnosis:
    """The underlay answers and the overlay does not."""
    how = " (to TCP only)" if seen.tcp else ""
    if seen.refused:
        return Diagnosis(
            Trouble.FIREWALL, f"{seen.refused} refuses packets over the overlay", "see its packet filter"
        )
    if seen.local_faults.firewall:
        return Diagnosis(Trouble.FIREWALL, seen.local_faults.firewall, "see condition FirewallReady")
    if seen.local_faults.reverse_path:
        return Diagnosis(
            Trouble.REVERSE_PATH, seen.local_faults.reverse_path, "loosen rp_filter: see condition HostTuned"
        )
    if seen.errno:
        why = os.strerror(seen.errno).lower()
        return Diagnosis(
            Trouble.UNEXPLAINED,
            f"{seen.address} answers over the underlay{how}; sending over the overlay fails: {why}",
            "see flanpyctl diff and the route to the peer's subnet",
        )
    if not seen.port:
        return Diagnosis(
            Trouble.UNEXPLAINED,
            f"{seen.address} answers over the underlay{how}, its subnet does not",
            f"see the bridge of {seen.peer}, its ip_forward and its packet filter",
        )
    return Diagnosis(
        Trouble.PORT_BLOCKED,
        f"{seen.address} answers over the underlay{how}, nothing passes over the overlay: "
        f"{seen.port} is blocked between {seen.here} and {seen.peer}",
        f"open {seen.port} in both directions between {seen.here} and {seen.peer} ({seen.address})",
    )


def _black_hole(seen: Evidence) -> Diagnosis:
    passed = f"{seen.mtu.passed} bytes" if seen.mtu.passed else "small ones"
    return Diagnosis(
        Trouble.MTU_BLACK_HOLE,
        f"packets of {seen.mtu.wanted} bytes vanish on the way to {seen.peer} and back, those of {passed} pass",
        "let the underlay pass packets of full size, or lower its MTU in the network config",
    )


def _loss(seen: Evidence) -> Diagnosis:
    where = "the underlay loses as much" if seen.loss_beneath >= seen.loss / 2 else "the underlay does not"
    return Diagnosis(
        Trouble.LOSS,
        f"{seen.loss:.0%} of probes over the overlay are lost; {where} ({seen.loss_beneath:.0%})",
        f"look at links and queues between {seen.here} and {seen.peer}",
    )
