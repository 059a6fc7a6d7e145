"""Owns the etcd faults themselves: how each is brought about in the guarded lab, and taken back.

Every strike is a context manager: within it the fault is in force, behind it the cause is gone. It leaves the lab as
good as before, though members may have changed places; what the daemons make of it is measured elsewhere.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

from integration.etcd.api import ETCD_PREFIX
from integration.etcd.cluster import CLIENT_PORT
from integration.faults.fault import Evidence, Family, Fault, Part, Strike, StrikeContext
from integration.faults.logins import (
    jwt_expired,
    jwt_given,
    logins_disabled,
    password_changed,
    password_kept,
    permission_removed,
    tokens_expired,
)
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
    """Return the number of times that the daemon had to list for want of history."""
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


def _with(within: Callable[[GuardedLab], AbstractContextManager[None]]) -> Strike:
    def strike(context: StrikeContext) -> Iterator[Evidence | None]:
        with within(context.guarded):
            yield None

    return strike


_guarded = partial(Fault, family=Family.ETCD, part=Part.ETCD, hosts=0, breaks=False,
                   lasts=(2, 8), also=frozenset(Part), dice="needs an etcd with certificates and logins")  # fmt: skip

FAULTS = (
    _guarded(name="no_space", title="etcd's quota is used up", strike=_with(no_space), hold=(8, 60)),
    _guarded(name="disk_of_member_full", title="a member's disk is full", strike=_with(full_disk), hold=(8, 60),
             serves=True),
    _guarded(name="watch_compacted", title="history is gone under a broken watch", strike=_with(compacted),
             hold=(16, 60)),
    _guarded(name="all_lost", title="all data is lost, users as well", strike=_with(wiped), hold=(5, 60),
             serves=True),
    _guarded(name="restored", title="an old backup comes back", strike=_with(restored), hold=(5, 60), serves=True),
    _guarded(name="tokens_expired", title="tokens run out", strike=_with(tokens_expired), hold=(8, 60), serves=True),
    _guarded(name="jwt_expired", title="JWTs end, users change", strike=_with(jwt_expired), hold=(8, 60),
             serves=True, before=_with(jwt_given)),
    _guarded(name="client_certificates_expired", title="our certificates end",
             strike=_with(client_certificates_expired), hold=(12, 90)),
    _guarded(name="server_certificate_expired", title="etcd's certificate ends",
             strike=_with(server_certificate_expired), hold=(12, 90)),
    _guarded(name="permission_removed", title="the role loses the prefix", strike=_with(permission_removed),
             hold=(10, 90)),
    _guarded(name="logins_disabled", title="etcd asks for no login for a while", strike=_with(logins_disabled),
             hold=(5, 60), serves=True),
    _guarded(name="password_changed", title="the user has another password", strike=_with(password_changed),
             hold=(10, 90), before=_with(password_kept)),
    _guarded(name="endpoints_changed", title="another endpoint alone", strike=_with(endpoints_changed),
             hold=(5, 60), serves=True),
    _guarded(name="member_replaced", title="another machine takes a member's place", strike=_with(member_replaced),
             hold=(5, 60), serves=True),
    _guarded(name="members_upgraded", title="each member restarts in its turn", strike=_with(members_upgraded),
             hold=(5, 60), serves=True),
)  # fmt: skip
