"""Faults of etcd's members: killed, frozen, cut off, slow; quorum lost. What is wrong in its data is in `records`.

None of them may cost an established flow a packet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from integration.etcd.cluster import CLIENT_PORT, EtcdMember
from integration.faults.fault import Evidence, Family, Fault, Part, StrikeContext
from integration.faults.means.slow_cable import slow_cables

_etcd = partial(Fault, family=Family.ETCD, part=Part.ETCD, hosts=0, breaks=False)


def _members(context: StrikeContext, count: int) -> list[EtcdMember]:
    """So many of them by the dice; without, the one that the first host talks to and those behind it."""
    members = list(context.lab.etcd.members)
    if context.dice is not None:
        return context.dice.sample(members, min(count, len(members)))
    used = used_member(context)
    return sorted(members, key=lambda member: member is not used)[:count]


def used_member(context: StrikeContext) -> EtcdMember:
    """Return the member that most connections of the host lead to now; the first when none does."""
    listed = context.host.run("ss", "-Htn", "state", "established", "dport", "=", f":{CLIENT_PORT}").stdout
    return max(context.lab.etcd.members, key=lambda member: listed.count(f"{member.address}:{CLIENT_PORT}"))


def _dead(context: StrikeContext, members: Sequence[EtcdMember]) -> Iterator[Evidence | None]:
    for member in members:
        member.kill()
    yield Evidence(context.host, (), lambda: not any(member.running for member in members))
    for member in members:
        member.launch()
    context.lab.etcd.wait_healthy()


def _still(context: StrikeContext, members: Sequence[EtcdMember]) -> Iterator[Evidence | None]:
    for member in members:
        member.freeze()
    yield None
    for member in members:
        member.thaw()
    context.lab.etcd.wait_healthy()


def _member_killed(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _dead(context, _members(context, 1))


def _leader_killed(context: StrikeContext) -> Iterator[Evidence | None]:
    """Without dice the leader is also the member that the daemons talk to."""
    if context.dice is None:
        context.lab.etcd.lead(used_member(context))
    yield from _dead(context, [context.lab.etcd.leader()])


def _quorum_killed(context: StrikeContext) -> Iterator[Evidence | None]:
    """Two of three members die; without dice the leader is among them."""
    if context.dice is None:
        context.lab.etcd.lead(used_member(context))
    yield from _dead(context, _members(context, 2))


def _all_killed(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _dead(context, context.lab.etcd.members)


def _member_frozen(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _still(context, _members(context, 1))


def _all_frozen(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _still(context, context.lab.etcd.members)


def _member_cut(context: StrikeContext) -> Iterator[Evidence | None]:
    """Nothing passes to or from a member, and nobody closes a connection; without dice it leads."""
    (member,) = _members(context, 1)
    etcd = context.lab.etcd
    if context.dice is None:
        etcd.lead(member)
    with ExitStack() as stack:
        etcd.shunned.add(member.name)
        etcd.doubted.add(member.name)
        stack.callback(etcd.shunned.discard, member.name)
        stack.enter_context(context.lab.faults.drop_on_switch(f'iifname "{member.name}"'))
        stack.enter_context(context.lab.faults.drop_on_switch(f'oifname "{member.name}"'))
        yield None
    etcd.wait_healthy()


def _slow(context: StrikeContext) -> Iterator[Evidence | None]:
    """Half a second each way between the daemons and every member, and all have to connect again.

    The members among themselves are quick.
    """
    with slow_cables(context.lab, milliseconds=500):
        context.lab.etcd.restart()
        yield None


FAULTS = (
    _etcd(name="member_killed", title="a member is killed", strike=_member_killed),
    _etcd(name="leader_killed", title="the leader is killed", strike=_leader_killed, hold=(6, 60), serves=True),
    _etcd(name="quorum_killed", title="two of three members are dead", strike=_quorum_killed, hold=(28, 600)),
    _etcd(name="all_killed", title="every member is dead", strike=_all_killed, lasts=(0.5, 8)),
    _etcd(name="member_frozen", title="a member is frozen", strike=_member_frozen, lasts=(1, 9)),
    _etcd(name="all_frozen", title="every member is frozen", strike=_all_frozen, lasts=(1, 9), hold=(18, 120)),
    _etcd(name="member_cut", title="a member is cut off", strike=_member_cut, lasts=(1, 9), hold=(16, 90),
          serves=True),
)  # fmt: skip
MORE = (_etcd(name="slow", title="500 ms each way", strike=_slow, lasts=(3, 9), hold=(25, 120), serves=True),)
