"""Owns the shadow reader: it looks at every revision of the leases, all the time, for two hosts on one subnet.

It must not use the project's own code. In a thread of its own it asks whichever member answers; revisions that came
between two looks are read one by one, so that nothing short-lived escapes but what etcd compacted meanwhile.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from ipaddress import IPv4Network
from itertools import combinations
from types import TracebackType
from typing import Self

from integration.etcd.access import RootApi
from integration.etcd.api import ETCD_PREFIX, Entry
from integration.etcd.guarded import SEES_IN_S, GuardedEtcd
from integration.net.namespaces import LabError

EVERY_S = 0.2
_MOST_BEHIND = 60
_SUBNETS = f"{ETCD_PREFIX}/subnets/"


class LeaseShadow:
    """A context manager. `overlaps` are the pairs ever seen, `looks` how many revisions were judged."""

    def __init__(self, etcd: GuardedEtcd) -> None:
        self.overlaps: list[str] = []
        self.looks = 0
        self._etcd = etcd
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-shadow", daemon=True)
        self._apis: dict[tuple[str, int], RootApi] = {}
        self._revision = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            for member in self._etcd.answering():
                if self._ended.is_set():
                    return
                life = (member.name, member.starts)
                api = self._apis.setdefault(life, self._etcd.new_api(member, timeout=SEES_IN_S))
                try:
                    self._look(api)
                except LabError:  # this one does not answer now; that is what faults are
                    continue
                break

    def _look(self, api: RootApi) -> None:
        now = api.revision()
        first = self._revision + 1 if 0 <= now - self._revision <= _MOST_BEHIND else now
        for revision in range(first, now + 1):
            self._judge(_listed(api, revision), revision)
        self._revision = now

    def _judge(self, entries: Iterable[Entry], revision: int) -> None:
        self.looks += 1
        self.overlaps += [f"at revision {revision}: {pair}" for pair in overlapping(entries)]


def _listed(api: RootApi, revision: int) -> tuple[Entry, ...]:
    try:
        return api.list_at(_SUBNETS, revision)
    except LabError as error:
        if "compacted" in str(error):
            return ()
        raise


def overlapping(entries: Iterable[Entry]) -> list[str]:
    """Pairs of leases of different hosts, or of one, whose subnets share an address."""
    rows = [
        (IPv4Network(entry.key.removeprefix(_SUBNETS).replace("-", "/")), _owner(entry)) for entry in entries
    ]
    return [
        f"{one} of {owner} and {other} of {another}"
        for (one, owner), (other, another) in combinations(rows, 2)
        if one.overlaps(other)
    ]


def _owner(entry: Entry) -> str:
    return str(json.loads(entry.value).get("NodeID") or entry.value)
