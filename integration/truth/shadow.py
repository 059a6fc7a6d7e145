"""The leases' shadow checker: every change of a lease in etcd, one after the other, by a watch of its own.

It owns the rule that no two live leases overlap at any revision, that a subnet never goes from one owner to another
without being free between, and that no host has two. The watch resumes where it ended, whatever becomes of a member; of
what an etcd forgot nothing is asserted but its state after.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable
from typing import Any, Self

from integration.etcd.api import Entry, EtcdApi, text_of
from integration.etcd.cluster import Etcd, EtcdMember
from integration.net.namespaces import LabError
from integration.truth.oracle import SUBNETS, subnets_of

PAUSE_S = 0.2


class LeaseBook:
    """The leases as they are at one revision, and what broke a rule. Pure."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.exempt: set[str] = set()
        self.changes = 0
        self._owners: dict[str, str] = {}

    def put(self, key: str, value: str, *, revision: int = 0) -> None:
        """Record that a lease was written."""
        name = key.removeprefix(SUBNETS)
        subnets = subnets_of(name)
        if name in self.exempt or not subnets:
            return
        self.changes += 1
        owner, before = _owner(value), self._owners.get(name)
        if before is not None and before != owner:
            self._break(revision, f"{name} went from {before} to {owner} without being free between")
        for other, held_by in self._owners.items():
            if other == name:
                continue
            if any(
                one.version == their.version and one.overlaps(their)
                for one in subnets
                for their in subnets_of(other)
            ):
                self._break(revision, f"{name} of {owner} overlaps {other} of {held_by}")
            if held_by == owner:
                self._break(revision, f"{owner} holds {name} and {other}")
        self._owners[name] = owner

    def deleted(self, key: str) -> None:
        """Record that a lease ended."""
        self.changes += 1
        self._owners.pop(key.removeprefix(SUBNETS), None)

    @property
    def names(self) -> set[str]:
        """The leases there are."""
        return set(self._owners)

    def clear(self) -> None:
        """Record that etcd lost everything."""
        self._owners.clear()

    def _break(self, revision: int, how: str) -> None:
        self.broken.append(f"revision {revision}: {how}")


def _owner(value: str) -> str:
    """Return the owner of a lease: the node id, else the public address."""
    try:
        said = json.loads(value)
        return str(said.get("NodeID") or said.get("PublicIP"))
    except (ValueError, AttributeError):
        return "nobody"


class Shadow:
    """Follows the leases in a thread of its own, from one member to the next."""

    def __init__(self, etcd: Etcd) -> None:
        self.book = LeaseBook()
        self._etcd = etcd
        self._revision = 0
        self._ended = threading.Event()
        self._api: EtcdApi | None = None
        self._thread = threading.Thread(target=self._follow, name="shadow", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        if (api := self._api) is not None:
            api.hang_up()
        self._thread.join(10)

    def has_seen(self, entries: Iterable[Entry]) -> bool:
        """Report whether the watch has come as far as the present listing."""
        return self.book.names == {
            entry.key.removeprefix(SUBNETS) for entry in entries if subnets_of(entry.key)
        }

    def _follow(self) -> None:
        turn, life = 0, 0
        while not self._ended.is_set():
            turn += 1
            try:
                if life != self._etcd.lives:
                    life = self._etcd.lives
                    self._list()
                members = self._etcd.answering()
                if members:
                    self._watch(members[turn % len(members)], life)
            except (OSError, http.client.HTTPException, LabError, ValueError, KeyError):
                pass  # that member is not well: the next one
            self._ended.wait(PAUSE_S)

    def _list(self) -> None:
        """Begin again with the present content of etcd."""
        self._revision = 0
        self.book.clear()
        api = self._etcd.reachable()
        try:
            revision = api.revision()
            for entry in api.list_at(SUBNETS, revision):
                self.book.put(entry.key, entry.value, revision=revision)
            self._revision = revision
        finally:
            api.close()

    def _watch(self, member: EtcdMember, life: int) -> None:
        api = self._etcd.new_api(member, timeout=10.0)
        try:
            self._api = api
            for said in api.watch(SUBNETS, start=self._revision + 1):
                if life != self._etcd.lives or self._ended.is_set():
                    return
                self._read(said)
        finally:
            self._api = None
            api.close()

    def _read(self, said: dict[str, Any]) -> None:
        if "compact_revision" in said:
            self._list()
            return
        for event in said.get("events", []):
            key = text_of(event["kv"]["key"])
            if event.get("type") == "DELETE":
                self.book.deleted(key)
            else:
                value = text_of(event["kv"].get("value", ""))
                self.book.put(key, value, revision=int(event["kv"]["mod_revision"]))
            self._revision = int(event["kv"]["mod_revision"])
