"""Tells what happened between two snapshots of the status: transitions, repairs, peers that came, went or changed.

Pure. Costs nothing where nothing changed: values are replaced whole, so what is the same object is the same. Of many
alike one happening is made, which names some and counts all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.event import ABOUT_UP_TO, WHOLE, Event, EventKind
from flanpy.model.lease import Lease, SubnetKey
from flanpy.model.naming import HostNames
from flanpy.model.networks.view import NamedView
from flanpy.model.objects import HostSysctl, LinkFeature, LinkSysctl, OwnLink
from flanpy.model.ops import Op, Put
from flanpy.model.reach import PeerReach, Reach, ReachReport
from flanpy.plan.render import render
from flanpy.reconcile.outcome import Pass
from flanpy.status.events import EACH_UP_TO, Happening
from flanpy.status.inputs import Inputs, OwnStatus
from flanpy.status.judge.conditions import Phase
from flanpy.status.judge.reach import name_of
from flanpy.status.judge.verdict import BRIEF, named

_NO_PEERS: Mapping[SubnetKey, PeerReach] = {}
_TELLING_RESYNCS = frozenset({"overrun", "kernel_error"})
"""Read-backs that tell of trouble; the others go by the clock, or their repairs say it better."""


def changed_conditions(old: Iterable[Condition], new: Iterable[Condition]) -> Iterator[Condition]:
    """Conditions that turned well or bad, and troubles that took the place of another or of mere ignorance."""
    known: dict[ConditionType, Condition] = {condition.type: condition for condition in old}
    for condition in new:
        was = known.get(condition.type)
        if was is not None and was is not condition and _is_news(was, condition):
            yield condition


def _is_news(old: Condition, new: Condition) -> bool:
    if old.healthy != new.healthy:
        return True
    return not new.healthy and new.status is not Status.UNKNOWN and new.reason != old.reason


def of_conditions(changed: Iterable[Condition]) -> Iterator[Happening]:
    """Yield the troubles; that one is over is the end of its spell, see `over`."""
    for condition in changed:
        if not condition.healthy:
            why = f"{condition.reason}: {condition.message}"
            yield Happening(EventKind.CONDITION_RAISED, condition.type.value, why, reason=condition.reason)


def of_inputs(old: Inputs, new: Inputs) -> Iterator[Happening]:
    """All that the inputs themselves tell, but for what a pass did."""
    if old.own is not new.own:
        yield from _own(old.own, new.own)
    before, after = _leases(old.last), _leases(new.last)
    if before is not after:
        yield from _peers(before, after, new)
    if old.last is not None and new.last is not None:
        yield from _networks(old.last.world.named, new.last.world.named)
    if old.reach is not new.reach:
        yield from _reached(old.reach, new.reach)


def _networks(old: NamedView, new: NamedView) -> Iterator[Happening]:
    """Yield the named networks that this host came to or left; those that the disk told of at the start are no news."""
    if old.networks == new.networks:
        return
    before, after = ({one.network.id: one for one in view.networks} for view in (old, new))
    for key, one in after.items():
        if key not in before or before[key].slice != one.slice:
            why = f"slice {one.slice} of {one.network.subnet}"
            yield Happening(EventKind.NETWORK_JOINED, one.network.name, why)
    for key, one in before.items():
        if key not in after:
            yield Happening(EventKind.NETWORK_LEFT, one.network.name, f"slice {one.slice} is given back")


def of_pass(outcome: Pass) -> Iterator[Happening]:
    """Yield the pass's repairs, by object, and the reason for its look."""
    if outcome.resync in _TELLING_RESYNCS:
        yield Happening(EventKind.RESYNC, outcome.resync, "the kernel was read back")
    for kind, count in outcome.repairs.items():
        of_kind = [op for op in outcome.decision.ops if op.obj.key[0] == kind]
        lines = "; ".join(render(op) for op in of_kind[: min(count, BRIEF)])
        attributes = dict.fromkeys(name for op in of_kind for name in changed_attributes(op))
        more = f" and {count - BRIEF} more" if count > BRIEF else ""
        yield Happening(
            EventKind.REPAIRED, kind, f"{outcome.resync}: {lines}{more}", count, tuple(attributes)
        )


def changed_attributes(op: Op) -> Iterator[str]:
    """Name the setting, or the attributes of the link, that an operation changes; `WHOLE` for anything else."""
    match op:
        case Put(HostSysctl(name=name) | LinkSysctl(name=name) | LinkFeature(feature=name)):
            yield name
        case Put(obj=new, previous=previous) if isinstance(new, OwnLink) and type(previous) is type(new):
            yield from (
                one.name for one in fields(new) if getattr(new, one.name) != getattr(previous, one.name)
            )
        case _:
            yield WHOLE


def _own(old: OwnStatus, new: OwnStatus) -> Iterator[Happening]:
    had, has = old.lease, new.lease
    if has is not None and (had is None or had.key != has.key):
        was = f"it was {had.key} before" if had is not None else f"from {new.source.value}"
        yield Happening(EventKind.LEASE_CHANGED, str(has.key), was)
    elif had is not None and has is None:
        yield Happening(EventKind.LEASE_CHANGED, "none", f"{had.key} is not ours any more")


def _leases(last: Pass | None) -> Mapping[str, Lease]:
    return last.world.view.leases if last is not None and last.world.view.in_sync else {}


def _peers(old: Mapping[str, Lease], new: Mapping[str, Lease], inputs: Inputs) -> Iterator[Happening]:
    is_ours = _is_ours(inputs)
    peers = {key: lease for key, lease in new.items() if not is_ours(key, lease)}
    gone = [lease for key, lease in old.items() if key not in new and not is_ours(key, lease)]
    joined = [(lease, _address(lease)) for key, lease in peers.items() if key not in old]
    left = [(lease, "its lease is gone") for lease in gone]
    changed = [
        (lease, what)
        for key, lease in peers.items()
        if _is_changed(old.get(key), lease) and (what := _change(old[key], lease))
    ]
    if not joined and not left and not changed:
        return
    names = HostNames.among([*new.values(), *gone])
    for kind, found in (
        (EventKind.PEER_JOINED, joined),
        (EventKind.PEER_LEFT, left),
        (EventKind.PEER_CHANGED, changed),
    ):
        yield from _some(kind, [_of_lease(kind, names, lease, why) for lease, why in found])


def _of_lease(kind: EventKind, names: HostNames, lease: Lease, why: str) -> Happening:
    return Happening(
        kind, _name(names, lease), why, about=_about(names.of(lease), lease.record.node_id, lease.key)
    )


def _about(name: str, node_id: str, key: SubnetKey) -> tuple[str, ...]:
    """Return what a peer is called: its name, its node id and its subnet's key, as far as it has them."""
    return tuple(dict.fromkeys(filter(None, (name, node_id, str(key)))))


def _is_ours(inputs: Inputs) -> Callable[[str, Lease], bool]:
    """By key, or by node: a lease just taken is listed before it is known to be ours."""
    world = inputs.last.world if inputs.last is not None else None
    own = str(world.own.key) if world is not None and world.own is not None else None
    node_id = world.policy.node_id if world is not None else None
    return lambda key, lease: key == own or lease.record.node_id == node_id


def _is_changed(old: Lease | None, new: Lease) -> bool:
    return old is not None and old is not new and old.record is not new.record and old.record != new.record


def _name(names: HostNames, lease: Lease) -> str:
    return f"{names.of(lease)} {lease.key}".strip()


def _address(lease: Lease) -> str:
    return str(lease.record.public_ip or lease.record.public_ip6)


def _change(old: Lease, new: Lease) -> str:
    """Return what changed, "" if it is nothing for people: the token is a secret, and changes nothing here."""
    was, now = old.record, new.record
    parts = (
        ("node", was.node_id, now.node_id),
        ("host name", was.host_name, now.host_name),
        ("public IP", was.public_ip, now.public_ip),
        ("public IPv6", was.public_ip6, now.public_ip6),
        ("backend", was.backend_type, now.backend_type),
        ("backend data", was.backend_data, now.backend_data),
        ("IPv6 backend data", was.backend_data6, now.backend_data6),
        ("without IPv6", was.without_ipv6, now.without_ipv6),
        ("announced key", was.announced_key, now.announced_key),
        ("fast path", was.fast_path, now.fast_path),
        ("leaving", was.leaving, now.leaving),
    )
    return "; ".join(f"{what} {_said(a)} -> {_said(b)}" for what, a, b in parts if a != b)


def _said(value: object) -> str:
    mac = getattr(value, "mac", None)
    return str(mac) if mac is not None else str(value) or "none"


def _reached(old: ReachReport | None, new: ReachReport | None) -> Iterator[Happening]:
    before, after = (report.peers if report is not None else _NO_PEERS for report in (old, new))
    lost: list[Happening] = []
    back: list[Happening] = []
    for key, peer in after.items():
        was = before.get(key)
        if was is peer:
            continue
        if peer.reach is Reach.UNREACHABLE and (was is None or _trouble_is_new(was, peer)):
            diagnosis = peer.diagnosis
            why = ": ".join(filter(None, (diagnosis.trouble.value, diagnosis.evidence)))
            lost.append(_of_peer(EventKind.PEER_UNREACHABLE, peer, why, diagnosis.trouble.value))
        elif was is not None and was.reach is Reach.UNREACHABLE and peer.reach is not Reach.UNREACHABLE:
            back.append(_of_peer(EventKind.PEER_REACHABLE, peer, f"it is {peer.reach.value} now"))
    yield from _some(EventKind.PEER_UNREACHABLE, lost)
    yield from _some(EventKind.PEER_REACHABLE, back)


def _of_peer(kind: EventKind, peer: PeerReach, why: str, reason: str = "") -> Happening:
    about = _about(name_of(peer), peer.node_id, peer.key)
    return Happening(kind, name_of(peer), why, reason=reason, about=about)


def _trouble_is_new(was: PeerReach, now: PeerReach) -> bool:
    return was.reach is not Reach.UNREACHABLE or was.diagnosis.trouble is not now.diagnosis.trouble


def _some(kind: EventKind, found: list[Happening]) -> Iterator[Happening]:
    """One happening each, or one for all."""
    if len(found) <= EACH_UP_TO:
        yield from found
    else:
        about = tuple(word for one in found for word in one.about[-1:])
        names = named([one.what for one in found])
        yield Happening(
            kind,
            f"{len(found)} peers",
            names,
            len(found),
            about=about[:ABOUT_UP_TO],
            unlisted=max(0, len(about) - ABOUT_UP_TO),
        )


def over(
    lasting: Iterable[Event], inputs: Inputs, conditions: Iterable[Condition], phase: Phase
) -> Iterator[Event]:
    """Yield the spells that are over by what is known now, also those of an earlier run of the daemon."""
    well = {condition.type.value for condition in conditions if condition.healthy}
    reached = inputs.reach.peers if inputs.reach is not None else _NO_PEERS
    now = {word: peer for peer in reached.values() for word in _about("", peer.node_id, peer.key)}
    leases = _leases(inputs.last)
    for event in lasting:
        match event.kind:
            case EventKind.CONDITION_RAISED if event.what in well:
                yield event
            case EventKind.PHASE_CHANGED if event.what != phase.value:
                yield event
            case EventKind.PEER_UNREACHABLE if _is_back(event, now, leases):
                yield event


def _is_back(event: Event, now: Mapping[str, PeerReach], leases: Mapping[str, Lease]) -> bool:
    """Report whether the peer is reached again, or has left."""
    found = [now[word].reach for word in event.about if word in now]
    if found:
        return any(reach in {Reach.REACHABLE, Reach.LOSSY} for reach in found)
    return bool(leases) and not any(word in leases for word in event.about)
