"""The overlay in this host's kernel: its device, addresses, routes and entries, and what others did to them."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Final

from flanpy.doctor.checks.common import Problem, ends, evidence_of, judged, repaired, traced_finding
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Repair, Severity
from flanpy.doctor.host import CHECKSUM
from flanpy.trace.hop import Cause, Place

_DEVICE = Problem("P11", "the overlay's device is missing or down")
_BACKEND = Problem("P11", "the overlay's device cannot be made")
_DEVICE_AGAIN = Problem("P11", "the overlay's device vanished, and flanpyd made it again")
_MAC = Problem("P12", "the overlay's device has another MAC than its lease says")
_MAC_AGAIN = Problem("P12", "the MAC of the overlay's device was changed, and flanpyd put it back")
_CORRUPTED = Problem("P07", "the network card sends overlay packets with wrong checksums")
_REFUSED = Problem("P07", "checksum offload of the overlay cannot be switched")
_CHECKSUM_OFF = Problem(
    "P07", "checksum offload is off for the overlay: large transfers are several times slower"
)
_CHECKSUM_ON = Problem(
    "P07", "checksum offload is on for the overlay, where it is to be off: large transfers may stall"
)
_CHECKSUM_AGAIN = Problem("P07", "checksum offload of the overlay was switched, and back again by flanpyd")
_ROUTES = Problem("P13", "routes of the overlay are missing or led astray")
_ROUTES_AGAIN = Problem("P13", "routes or addresses of the overlay were removed, and flanpyd put them back")
_FOREIGN = Problem("P13", "a foreign object stands where one of the overlay's should")
_ENTRIES = Problem("P14", "neighbour or forwarding entries of peers are missing or wrong")
_ENTRIES_AGAIN = Problem("P14", "entries of peers were altered, and flanpyd put them right")
_PEERS = Problem("P14", "peers cannot be programmed into the kernel")
_NO_WAY = Problem("P18", "the backend has no way to a peer from here")
_GATEWAY = Problem("P18", "a peer that is reached directly does not answer on the link")

_SESSIONS = Problem("P42", "a WireGuard peer that is sent to answers no handshake")
_STRAYED = Problem("P42", "a WireGuard peer sends from another address than its lease says")
_KEY = Problem("P43", "this host's WireGuard key cannot be used")
_SET_BACK = Problem("P44", "this host's clock was set back, and WireGuard's peers refuse older handshakes")

_RIVALS: Final = (
    "find who does that: NetworkManager and systemd-networkd must leave flannel links alone (unmanaged); "
    "'ip monitor' and flanpyctl events tell when"
)


_TOLD_ELSEWHERE: Final = frozenset({"TooNarrow", "KeyUnusable"})
"""Reasons that P22 and P43 are about."""


def key(facts: Facts) -> Iterator[Finding]:
    """The key file, as the daemon reads it."""
    yield from judged(facts, "BackendReady", _KEY, reasons=("KeyUnusable",))


def sessions(facts: Facts) -> Iterator[Finding]:
    """WireGuard's peers, as the daemon follows them."""
    yield from judged(facts, "Encrypted", _SESSIONS, reasons=("HandshakeOverdue",))
    yield from judged(facts, "Encrypted", _STRAYED, reasons=("EndpointDiffers",), severity=Severity.WARNING)


def clock(facts: Facts) -> Iterator[Finding]:
    """The clock that WireGuard's handshakes are dated by."""
    yield from judged(facts, "Encrypted", _SET_BACK, reasons=("ClockSetBack",))


def device(facts: Facts) -> Iterator[Finding]:
    if facts.reason("BackendReady") not in _TOLD_ELSEWHERE:
        yield from judged(facts, "BackendReady", _BACKEND)
    if facts.condition("BackendReady") is None:
        missing = _missing(facts)
        if missing:
            yield _DEVICE.found(*missing, cure="flanpyd makes it again: see flanpyctl events and its log")
        else:
            yield from traced_finding(_DEVICE, ends(facts, [Place.DEVICE], but=[Cause.MTU, Cause.NO_ROOM]))
    yield from repaired(
        facts, _DEVICE_AGAIN, ["link", "up", "tunnel"], _RIVALS, where=lambda put: "mac" not in put
    )


def _missing(facts: Facts) -> list[str]:
    if facts.devices is None:
        return []
    found = facts.devices
    gone = [f"{name} does not exist" for name in facts.overlay_links if name not in found]
    return gone + [f"{n} is down" for n in facts.overlay_links if n in found and not found[n].up]


def mac(facts: Facts) -> Iterator[Finding]:
    for link in facts.links:
        name, wanted = link.name, (link.mac or "").lower()
        has = (facts.devices or {}).get(name)
        if wanted and has is not None and has.mac.lower() != wanted:
            # No repair: with its MAC a device loses its neighbours, so only flanpyd can put all of it back.
            cure = f"flanpyd puts it back, and the neighbours that went with it: if it does not, see its log; {_RIVALS}"
            yield _MAC.found(f"{name} has {has.mac}, wanted is {wanted}", cure=cure)
    yield from repaired(facts, _MAC_AGAIN, ["link"], _RIVALS, where=lambda put: "mac" in put)


def checksum(facts: Facts) -> Iterator[Finding]:
    """On is right unless the daemon has decided otherwise, or the operator has."""
    yield from judged(facts, "ChecksumOffload", _CORRUPTED, reasons=("CorruptedAndOn",))
    yield from judged(facts, "ChecksumOffload", _CORRUPTED, reasons=("Corrupted",), severity=Severity.WARNING)
    yield from judged(facts, "ChecksumOffload", _REFUSED, reasons=("Refused",), severity=Severity.WARNING)
    yield from _slow(facts)
    wanted = _wanted_offload(facts)
    for link, on in facts.checksums.items():
        device = (facts.devices or {}).get(link)
        if wanted is not None and on is not wanted and device is not None and device.kind == "vxlan":
            argv = ("ethtool", "-K", link, CHECKSUM, "on" if wanted else "off")
            yield (_CHECKSUM_ON if on else _CHECKSUM_OFF).found(
                f"{link}: {CHECKSUM} is {'on' if on else 'off'}",
                cure=" ".join(argv),
                severity=Severity.WARNING,
                repair=Repair(argv),
            )
    yield from repaired(facts, _CHECKSUM_AGAIN, ["feature"], "find who calls ethtool on it (udev, tuned)")


def _slow(facts: Facts) -> Iterator[Finding]:
    """A note that the offload is off on purpose: it explains what an operator measures."""
    said = facts.judgement("ChecksumOffload")
    if said is not None and said.status == "False" and said.healthy:
        cure = "if that is not wanted, set vxlan-tx-checksum to auto, or to on, and reload"
        yield _CHECKSUM_OFF.found(
            *evidence_of(said), cure=cure, severity=Severity.NOTE, condition="ChecksumOffload"
        )


def _wanted_offload(facts: Facts) -> bool | None:
    """As the daemon decided; without one as set, and None for what only the daemon can decide."""
    said = facts.judgement("ChecksumOffload")
    if said is None:
        return {"on": True, "off": False}.get(facts.told.tx_checksum)
    if said.reason in {"Refused", "NotPlanned", "NotNeeded"}:
        return None
    return said.reason == "CorruptedAndOn" or said.status == "True"


def routes(facts: Facts) -> Iterator[Finding]:
    """A packet into this host without a bridge to go to is Docker's affair, a filtered one that of the filter."""
    yield from judged(facts, "ForeignConflict", _FOREIGN, reasons=("Foreign",), more=facts.diff.conflicts)
    astray = ends(facts, [Place.ROUTE], but=[Cause.REVERSE_PATH, Cause.NO_BRIDGE, Cause.RULE])
    yield from traced_finding(_ROUTES, astray)
    if not astray:
        yield from _different(facts, _ROUTES, {"route", "address"})
    yield from repaired(facts, _ROUTES_AGAIN, ["route", "address"], _RIVALS)


def _different(facts: Facts, problem: Problem, kinds: Set[str]) -> Iterator[Finding]:
    pairs = zip(facts.diff.kinds, facts.diff.lines, strict=False)
    lines = [line for kind, line in pairs if kind in kinds]
    if lines and facts.diff.trusted:
        cure = "flanpyd does this next; if it stays so, see its log"
        yield problem.found(*lines, cure=cure, severity=Severity.WARNING)


def entries(facts: Facts) -> Iterator[Finding]:
    if facts.reason("PeersProgrammed") != "NoWay":
        yield from judged(facts, "PeersProgrammed", _PEERS)
    wrong = ends(facts, [Place.NEIGHBOUR, Place.FDB_ENTRY, Place.TUNNEL_TABLE])
    yield from traced_finding(_ENTRIES, wrong)
    if not wrong:
        yield from _different(facts, _ENTRIES, {"neighbour", "fdb", "tunnelpeer"})
    yield from repaired(facts, _ENTRIES_AGAIN, ["neighbour", "fdb", "tunnelpeer", "extensionpeer"], _RIVALS)


def way(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "PeersProgrammed", _NO_WAY, reasons=("NoWay",))
    yield from traced_finding(_GATEWAY, ends(facts, [Place.GATEWAY]))
