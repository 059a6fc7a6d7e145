"""Owns the etcd faults themselves: how each is brought about in the guarded lab, and taken back.

Every strike is a context manager: within it the fault is in force, behind it the cause is gone. It leaves the lab as
good as before, though members may have changed places; what the daemons make of it is measured elsewhere.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from integration.drivers.matrix.toll import Case
from integration.etcd.api import ETCD_PREFIX
from integration.etcd.cluster import CLIENT_PORT
from integration.faults.logins import (
    jwt_expired,
    jwt_given,
    logins_disabled,
    password_changed,
    password_kept,
    permission_removed,
    tokens_expired,
)
from integration.faults.means.slow_cable import slow_etcd
from integration.faults.storage import full_disk, no_space
from integration.hosts.guarded import CLIENT_NAMES, GuardedLab
from integration.hosts.host import Host
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

_SHORT_S = 4.0
_SILENCE_S = 30.0
_TRIES = 5
_RENEWAL_S = 1.0
"""Between the new key and the certificate that belongs to it, as a renewer that writes one file after the other."""


@contextmanager
def leader_killed(lab: GuardedLab) -> Iterator[None]:
    """The leader dies, which is also the member that the daemons talk to."""
    leader = lab.used_member()
    lab.guarded.lead(leader)
    leader.kill()
    try:
        yield
    finally:
        leader.launch()


@contextmanager
def member_partitioned(lab: GuardedLab) -> Iterator[None]:
    """Nothing passes to or from the member that the daemons talk to, and nobody closes a connection."""
    member = lab.used_member()
    lab.guarded.lead(member)
    with ExitStack() as stack:
        lab.guarded.shunned.add(member.name)
        lab.guarded.doubted.add(member.name)
        stack.callback(lab.guarded.shunned.discard, member.name)
        stack.enter_context(lab.faults.drop_on_switch(f'iifname "{member.name}"'))
        stack.enter_context(lab.faults.drop_on_switch(f'oifname "{member.name}"'))
        yield


@contextmanager
def quorum_lost(lab: GuardedLab) -> Iterator[None]:
    """Two of three members die, the leader among them."""
    leader = lab.guarded.leader()
    other = next(member for member in lab.guarded.members if member is not leader)
    leader.kill()
    other.kill()
    try:
        yield
    finally:
        leader.launch()
        other.launch()


@contextmanager
def frozen(lab: GuardedLab) -> Iterator[None]:
    """Every member is stopped in its tracks: connections stay open, and nothing answers."""
    lab.guarded.freeze()
    try:
        yield
    finally:
        lab.guarded.thaw()


@contextmanager
def slow(lab: GuardedLab) -> Iterator[None]:
    """Half a second each way between the daemons and every member, and all have to connect anew.

    The members among themselves are quick.
    """
    with slow_etcd(lab, milliseconds=500):
        lab.guarded.restart()
        yield


@contextmanager
def compacted(lab: GuardedLab) -> Iterator[None]:
    """One host's connections break without a word while leases change, and etcd forgets the history of that.

    New ones are not hindered: a host without etcd for longer than its lease lives is rightly given up by the others.
    """
    host = lab.residents[0]
    for _ in range(_TRIES):
        # What a watch compares before it resumes is the newest key: one that the lab deletes again is none.
        lab.touch_lease(lab.residents[1], seen_by=host)
        before, broken = _subnets_listed(host), ", ".join(lab.local_ports(host))
        with lab.faults.drop_on_host(host, f"tcp sport {CLIENT_PORT} tcp dport {{ {broken} }}"):
            for _ in range(2):
                lab.witness(lab.residents[1:])
            if lab.guarded.api.compact() <= lab.watched(host) + 1:
                continue  # the machine stood still so long that the host was on a new connection before
            yield
            _wait_listed(host, before)
            return
    raise LabError(f"{host.name} followed etcd in spite of its broken connections")


def _wait_listed(host: Host, before: int) -> None:
    wait_until(lambda: _subnets_listed(host) > before, f"{host.name} lists again", deadline=_SILENCE_S)


def _subnets_listed(host: Host) -> int:
    """How many times the daemon had to list for want of history."""
    found = host.daemon.events("watch_relisted", all_starts=True)
    return sum(line["reason"] == "compacted" and line["prefix"].endswith("/subnets/") for line in found)


@contextmanager
def wiped(lab: GuardedLab) -> Iterator[None]:
    """etcd loses everything, users as well; an operator puts network and users back, then a new host joins."""
    lab.guarded.wipe()
    lab.guard()
    with _joined(lab):
        yield


@contextmanager
def restored(lab: GuardedLab) -> Iterator[None]:
    """etcd goes back to a backup of before the last resident joined: its revision is lower; then a new host joins."""
    lab.guarded.restore(lab.early_backup)
    lab.guarded.wait_healthy()
    with _joined(lab):
        yield


@contextmanager
def _joined(lab: GuardedLab) -> Iterator[None]:
    """A host that was never there before joins, and leaves for good at the end."""
    lab.wait_leased()
    newcomer = lab.newcomer
    try:
        newcomer.daemon.up()
        lab.wait_leased(lab.hosts)
        yield
    finally:
        newcomer.daemon.stop()
        if key := lab.leased().get(newcomer.name):
            lab.guarded.api.delete(f"{ETCD_PREFIX}/subnets/{key}")
        newcomer.ip("link del flannel.1")
        newcomer.daemon.subnet_path.unlink(missing_ok=True)
        shutil.rmtree(newcomer.daemon.state_dir, ignore_errors=True)


@contextmanager
def client_certificates_expired(lab: GuardedLab) -> Iterator[None]:
    """The daemons' certificates end, etcd restarts and refuses them; the renewer comes late, one file at a time."""
    for host in lab.residents:
        lab.authority.issue(host.name, names=CLIENT_NAMES, seconds=_SHORT_S)
    time.sleep(_SHORT_S)
    lab.guarded.restart()
    try:
        yield
    finally:
        for host in lab.residents:
            _renewed(lab, host)


def _renewed(lab: GuardedLab, host: Host) -> None:
    fresh = lab.authority.issue(f"{host.name}-renewed", names=CLIENT_NAMES)
    fresh.key.replace(fresh.key.with_name(f"{host.name}.key"))
    time.sleep(_RENEWAL_S)
    fresh.certificate.replace(fresh.certificate.with_name(f"{host.name}.crt"))


@contextmanager
def server_certificate_expired(lab: GuardedLab) -> Iterator[None]:
    """etcd's own certificate ends, and etcd restarts with it."""
    lab.authority.issue("server", names=lab.server_names, seconds=_SHORT_S)
    time.sleep(_SHORT_S)
    lab.guarded.restart()
    try:
        yield
    finally:
        lab.authority.issue("server", names=lab.server_names)


@contextmanager
def endpoints_changed(lab: GuardedLab) -> Iterator[None]:
    """The settings name another member alone, a reload tells of it, and all other members are out of reach."""
    before, used = lab.guarded.endpoints, lab.used_member()
    *others, last = sorted(lab.guarded.members, key=lambda member: member is not used)
    with ExitStack() as stack:
        lab.use_endpoints(last.endpoint)
        stack.callback(lab.use_endpoints, before)
        for member in others:
            match = f'oifname "{member.name}" tcp dport {CLIENT_PORT}'
            stack.enter_context(lab.faults.drop_on_switch(match))
        yield


@contextmanager
def member_replaced(lab: GuardedLab) -> Iterator[None]:
    """The member that the daemons talk to is gone for good; another machine takes its place, and a reload tells."""
    lab.guarded.replace(lab.used_member())
    lab.use_endpoints(lab.guarded.endpoints)
    yield


@contextmanager
def members_upgraded(lab: GuardedLab) -> Iterator[None]:
    """Every member is stopped and started in its turn, the leader among them."""
    for _ in lab.guarded.roll():
        lab.witness()
    yield


CASES: tuple[Case, ...] = (
    Case("leader-killed", "the leader is killed", leader_killed, 6, 60, serves=True),
    Case("member-partitioned", "a member is cut off", member_partitioned, 16, 90, serves=True),
    Case("quorum-lost", "two of three members are dead", quorum_lost, 28, 600),
    Case("frozen", "every member is frozen", frozen, 18, 120),
    Case("slow", "500 ms each way", slow, 25, 120, serves=True),
    Case("no-space", "etcd's quota is used up", no_space, 8, 60),
    Case("disk-full", "a member's disk is full", full_disk, 8, 60, serves=True),
    Case("compacted", "history is gone under a broken watch", compacted, 16, 60),
    Case("wiped", "all data is lost", wiped, 5, 60, serves=True),
    Case("restored", "an old backup comes back", restored, 5, 60, serves=True),
    Case("tokens-expired", "tokens run out", tokens_expired, 8, 60, serves=True),
    Case("jwt-expired", "JWTs end, users change", jwt_expired, 8, 60, serves=True, stage=jwt_given),
    Case("client-certificates-expired", "our certificates end", client_certificates_expired, 12, 90),
    Case("server-certificate-expired", "etcd's certificate ends", server_certificate_expired, 12, 90),
    Case("permission-removed", "the role loses the prefix", permission_removed, 10, 90),
    Case("logins-disabled", "etcd asks for no login for a while", logins_disabled, 5, 60, serves=True),
    Case("password-changed", "the user has another password", password_changed, 10, 90, stage=password_kept),
    Case("endpoints-changed", "another endpoint alone", endpoints_changed, 5, 60, serves=True),
    Case("member-replaced", "another machine takes a member's place", member_replaced, 5, 60, serves=True),
    Case("members-upgraded", "each member restarts in its turn", members_upgraded, 5, 60, serves=True),
)


def case(name: str) -> Case:
    """By its name."""
    return next(one for one in CASES if one.name == name)


def names() -> list[str]:
    """Every name, in the order in which they are tried."""
    return [one.name for one in CASES]
