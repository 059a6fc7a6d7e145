"""Owns the faults of logins: tokens that end, users and permissions that change under running daemons.

As in `guarded`, every fault is a context manager: within it the fault is in force, behind it the cause is gone.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from typing import Self

from integration.etcd.api import ETCD_PREFIX
from integration.etcd.pki import make_jwt_keys
from integration.hosts.guarded import NEXT_PASSWORD, USER, USER_PASSWORD, GuardedDaemon, GuardedLab
from integration.hosts.host import Host
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

JWT_TTL_S = 2
_OTHER_PREFIX = "/of-somebody-else/"
_PASSER_BY = "passer-by"
_RENEWALS = re.compile(r"^flanpy_store_token_renewals_total (\S+)$", re.MULTILINE)
_KNOWN_IN_S = 30.0


@contextmanager
def tokens_expired(lab: GuardedLab) -> Iterator[None]:
    """Tokens run out unused, and then the member that the daemons talk to goes away."""
    time.sleep(lab.token_ttl + 1)
    member = lab.used_member()
    member.kill()
    try:
        yield
    finally:
        member.launch()


@contextmanager
def jwt_given(lab: GuardedLab) -> Iterator[None]:
    """etcd gives out JSON web tokens, as it does in production, in place of its simple ones."""
    flag = make_jwt_keys(lab.directory / "pki", ttl=f"{JWT_TTL_S}s")
    with ExitStack() as stack:
        simple = lab.guarded.tokens
        stack.callback(_told, lab, simple)
        _told(lab, (flag,))
        yield


def _told(lab: GuardedLab, flags: Sequence[str]) -> None:
    lab.guarded.tokens = tuple(flags)
    lab.guarded.restart()
    lab.witness()
    lab.wait_leased()


@contextmanager
def jwt_expired(lab: GuardedLab) -> Iterator[None]:
    """Tokens end at their time, used or not; users and roles change all the while, which ends them sooner still.

    Then all members restart, so that each daemon has to begin its watch with a token that is none.
    """
    before = {host.name: renewals(host) for host in lab.residents}
    with Operator(lab) as operator:
        time.sleep(JWT_TTL_S + 1)
        lab.witness()
        lab.guarded.restart()
        yield
    calm = [host.name for host in lab.residents if renewals(host) <= before[host.name]]
    if calm or not operator.changes:
        raise LabError(f"no token ended: {operator.changes} changes, none renewed on {calm}")


def renewals(host: Host) -> float:
    """Return the number of tokens that a host's daemon got so far."""
    found = _RENEWALS.search(host.daemon.metrics())
    return float(found[1]) if found else 0.0


class Operator:
    """Somebody who changes users and roles all the while, ours too: a context manager with a thread of its own.

    With JSON web tokens each change makes all tokens of before worthless.
    """

    EVERY_S = 0.1

    def __init__(self, lab: GuardedLab) -> None:
        self.changes = 0
        self._etcd = lab.guarded
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="etcd-operator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(LabError):  # the last change was that one
            self._etcd.api.delete_user(_PASSER_BY)
        with suppress(LabError):
            self._etcd.api.forbid(USER, _OTHER_PREFIX)

    def _run(self) -> None:
        while not self._ended.wait(self.EVERY_S):
            with suppress(LabError):  # the member that was asked goes away now and then
                self._change_all()

    def _change_all(self) -> None:
        api = self._etcd.new_api(self._etcd.one_that_answers(), timeout=5.0)
        with suppress(LabError):  # there is none but after a change that was cut short
            api.delete_user(_PASSER_BY)
        changes: tuple[Callable[[], None], ...] = (
            lambda: api.permit(USER, _OTHER_PREFIX),
            lambda: api.name_user(_PASSER_BY, "of no account"),
            lambda: api.forbid(USER, _OTHER_PREFIX),
            lambda: api.delete_user(_PASSER_BY),
        )
        for change in cycle(changes):
            if self._ended.wait(self.EVERY_S):
                return
            change()
            self.changes += 1


@contextmanager
def permission_removed(lab: GuardedLab) -> Iterator[None]:
    """The daemons' role loses the prefix, and all have to connect again."""
    lab.guarded.api.forbid(USER, f"{ETCD_PREFIX}/")
    lab.guarded.restart()
    try:
        yield
    finally:
        lab.guarded.api.permit(USER, f"{ETCD_PREFIX}/")


@contextmanager
def logins_disabled(lab: GuardedLab) -> Iterator[None]:
    """etcd asks nobody for a login any more, all connect again, and then it asks for one again."""
    lab.guarded.api.call("/v3/auth/disable", {})
    try:
        for _ in lab.guarded.roll():
            lab.witness()
        yield
    finally:
        lab.guarded.api.call("/v3/auth/enable", {})


@contextmanager
def password_kept(lab: GuardedLab) -> Iterator[None]:
    """At the end the user has its old password again, and the daemons' settings say so."""
    try:
        yield
    finally:
        lab.guarded.api.change_password(USER, USER_PASSWORD)
        _tell_password(lab, USER_PASSWORD)
        lab.witness()
        lab.wait_leased()


@contextmanager
def password_changed(lab: GuardedLab) -> Iterator[None]:
    """The user has another password than the settings, and all connect again; the settings and a reload come late."""
    lab.guarded.api.change_password(USER, NEXT_PASSWORD)
    lab.guarded.restart()
    for host in lab.residents:
        wait_until(
            lambda host=host: "does not accept the password" in host.daemon.fetch("/readyz?verbose")[1],  # type: ignore[misc]
            f"{host.name} says that its password is wrong",
            deadline=_KNOWN_IN_S,
        )
    try:
        yield
    finally:
        _tell_password(lab, NEXT_PASSWORD)


def _tell_password(lab: GuardedLab, password: str) -> None:
    for host in lab.hosts:
        assert isinstance(host.daemon, GuardedDaemon)
        host.daemon.password = password
    lab.use_endpoints(lab.guarded.endpoints)
