"""Judges whether what leaves for other hosts is encrypted, and whether each WireGuard peer that is sent to answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.encryption import Encryption
from flanpy.model.lease import Lease
from flanpy.model.naming import HostNames
from flanpy.model.ops import Objects
from flanpy.model.reach import Trouble
from flanpy.model.wireguard import LINKS, WgDevice, WgPeer
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, named, unmeasured

_KIND = ConditionType.ENCRYPTED

_TOLD_BY_PROBES = frozenset({Trouble.PEER_DOWN, Trouble.NO_UNDERLAY})
"""Troubles in which no port helps: the host does not answer in any way."""

_CLOCK_CURE = (
    "set the clock right (timedatectl); until it has passed that moment peers refuse the handshakes that this host"
    " begins, unless it has a new key: flanpyctl keys rotate"
)
_ROAMING_CURE = (
    "let that host advertise the address that its packets come from (public-ip, iface); behind NAT set"
    " Backend.PersistentKeepaliveInterval, else only that host can begin"
)


def encrypted(inputs: Inputs, _now: float) -> Condition:
    """Judge the sessions by what was seen of them over time; a session that an idle pair lacks is no fault."""
    last = inputs.last
    if last is None or last.decision.desired is None:
        return unmeasured(_KIND, "NotPlanned", "lease, network config or underlay are not there yet")
    wanted = last.decision.desired
    if not any(("wgdevice", link) in wanted for link in LINKS.values()):
        return _in_clear(last)
    if trouble := _ailing(inputs, last, wanted):
        return trouble
    plain = [lease for lease in last.admission.peers if lease.record.backend_type != "wireguard"]
    if plain:
        names = named(sorted(_host(lease, _names(last)) for lease in plain))
        message = f"in clear to {names}: their leases say another backend than wireguard"
        return good(_KIND, "Mixed", message, status=Status.FALSE)
    return good(_KIND, "Encrypted", "every WireGuard peer that is sent to has a session")


def _in_clear(last: Pass) -> Condition:
    """Judge a backend that does not encrypt by whether this host wants one that does."""
    if last.world.policy.encryption is Encryption.OFF:
        return good(_KIND, "NotAsked", "the backend does not encrypt", status=Status.FALSE)
    name = last.world.network.backend_type if last.world.network is not None else "alloc"
    message = (
        f"packets to other hosts go in clear: encryption is {last.world.policy.encryption.value} here,"
        f" and the network's backend is {name}"
    )
    return bad(_KIND, "InClear", message, "flanpyctl network set --encrypt; every host needs WireGuard")


def _ailing(inputs: Inputs, last: Pass, wanted: Objects) -> Condition | None:
    """Return the first trouble, in the order in which one explains another."""
    found = inputs.sessions
    if not (found.ahead or found.overdue or found.strayed):
        return None
    names, leases = _names(last), _by_key(last)
    hosts = {key: _host(lease, names) for key, lease in leases.items()}
    if ahead := [seen for seen in found.ahead if seen.public_key in hosts]:
        return _set_back(ahead, found.latest, hosts)
    overdue = [
        seen for seen in found.overdue if seen.public_key in hosts and not _is_told(inputs, leases, seen)
    ]
    if overdue:
        return _overdue(overdue, hosts, wanted)
    strayed = [
        seen
        for seen in found.strayed
        if seen.key in wanted and seen.public_key in hosts and not seen.keepalive
    ]
    return _strayed(strayed, hosts, wanted) if strayed else None


def _set_back(ahead: Iterable[WgPeer], latest: int, hosts: Mapping[str, str]) -> Condition:
    who = named(sorted({hosts[seen.public_key] for seen in ahead}))
    message = f"this host's clock was set back: by it the last handshake with {who} is yet to come"
    moment = f"the latest handshake was at {datetime.fromtimestamp(latest, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return bad(_KIND, "ClockSetBack", message, _CLOCK_CURE, evidence=[moment])


def _overdue(overdue: Iterable[WgPeer], hosts: Mapping[str, str], wanted: Objects) -> Condition:
    lines = sorted(
        f"{hosts[seen.public_key]} at {_wanted(seen, wanted).socket} answers no handshake" for seen in overdue
    )
    ports = sorted(
        {port for seen in overdue for port in (_wanted(seen, wanted).port, _own_port(seen, wanted))}
    )
    cure = (
        f"open UDP port {named([str(port) for port in ports])} between the hosts in both directions (firewall,"
        " security group); if it is open, compare the keys of both (flanpyctl peers -o wide) and the PSK that each has"
        " (flanpyctl network show -o json)"
    )
    message = f"no WireGuard session, though packets wait for one: {named(lines, '; ')}"
    return bad(_KIND, "HandshakeOverdue", message, cure, evidence=lines)


def _strayed(strayed: Iterable[WgPeer], hosts: Mapping[str, str], wanted: Objects) -> Condition:
    lines = sorted(
        f"{hosts[seen.public_key]} sends from {seen.socket}, and its lease says"
        f" {_wanted(seen, wanted).socket}"
        for seen in strayed
    )
    message = f"answers go elsewhere than leases say: {named(lines, '; ')}"
    return bad(_KIND, "EndpointDiffers", message, _ROAMING_CURE, evidence=lines)


def _is_told(inputs: Inputs, leases: Mapping[str, Lease], seen: WgPeer) -> bool:
    """Report whether probes say that the host is away as a whole."""
    peers = inputs.reach.peers if inputs.reach is not None else {}
    reached = peers.get(leases[seen.public_key].key)
    return reached is not None and reached.diagnosis.trouble in _TOLD_BY_PROBES


def _wanted(seen: WgPeer, wanted: Objects) -> WgPeer:
    asked = wanted.get(seen.key)
    return asked if isinstance(asked, WgPeer) else seen


def _own_port(seen: WgPeer, wanted: Objects) -> int:
    device = wanted.get(("wgdevice", seen.link))
    return device.port if isinstance(device, WgDevice) else seen.port


def _by_key(last: Pass) -> Mapping[str, Lease]:
    return {lease.record.wireguard_key: lease for lease in last.admission.peers if lease.record.wireguard_key}


def _names(last: Pass) -> HostNames:
    return HostNames.among(last.world.view.leases.values())


def _host(lease: Lease, names: HostNames) -> str:
    """Return a name for people; flannel's hosts go by their subnet."""
    return names.of(lease) or str(lease.key)
