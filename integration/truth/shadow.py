"""The leases' shadow checker: every change of a lease in etcd, one after the other, by a watch of its own.

It owns the rule that no two live leases overlap at any revision, that a subnet never goes from one owner to another
without being free between, and that no host has two. The watch resumes where it ended, whatever becomes of a member; of
what an etcd forgot nothing is asserted but its state after.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from integration.etcd.api import Entry, NamespaceConnection
from integration.etcd.cluster import CLIENT_PORT
from integration.faults.fault import reachable
from integration.hosts.lab import Lab
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
        """A lease was written."""
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
        """A lease ended."""
        self.changes += 1
        self._owners.pop(key.removeprefix(SUBNETS), None)

    @property
    def names(self) -> set[str]:
        """The leases there are."""
        return set(self._owners)

    def clear(self) -> None:
        """etcd forgot everything."""
        self._owners.clear()

    def _break(self, revision: int, how: str) -> None:
        self.broken.append(f"revision {revision}: {how}")


def _owner(value: str) -> str:
    """Who a lease belongs to: the node id, else the public address."""
    try:
        said = json.loads(value)
        return str(said.get("NodeID") or said.get("PublicIP"))
    except (ValueError, AttributeError):
        return "nobody"


class Shadow:
    """Follows the leases in a thread of its own, from one member to the next."""

    def __init__(self, lab: Lab) -> None:
        self.book = LeaseBook()
        self._lab = lab
        self._revision = 0
        self._ended = threading.Event()
        self._life = 0
        self._connection: NamespaceConnection | None = None
        self._thread = threading.Thread(target=self._follow, name="shadow", daemon=True)

    def __enter__(self) -> Shadow:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._hang_up()
        self._thread.join(10)

    def restart_history(self) -> None:
        """etcd was wiped: its revisions began at 1 again."""
        self._life += 1
        self._hang_up()

    def has_seen(self, entries: Iterable[Entry]) -> bool:
        """Whether it has come as far as what was listed now."""
        return self.book.names == {
            entry.key.removeprefix(SUBNETS) for entry in entries if subnets_of(entry.key)
        }

    def _hang_up(self) -> None:
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _follow(self) -> None:
        turn, life = 0, -1
        while not self._ended.is_set():
            turn += 1
            try:
                if life != self._life:
                    life = self._life
                    self._list()
                self._watch(self._lab.etcd.members[turn % len(self._lab.etcd.members)].namespace, life)
            except (OSError, http.client.HTTPException, LabError, ValueError):
                pass  # that member is not well: the next one
            self._ended.wait(PAUSE_S)

    def _list(self) -> None:
        """Begin anew with what there is now."""
        self._revision = 0
        self.book.clear()
        api = reachable(self._lab)
        try:
            revision = api.revision()
            for entry in api.list_at(SUBNETS, revision):
                self.book.put(entry.key, entry.value, revision=revision)
            self._revision = revision
        finally:
            api.close()

    def _watch(self, namespace: str, life: int) -> None:
        connection = NamespaceConnection(namespace, "127.0.0.1", CLIENT_PORT, timeout=10.0)
        try:
            connection.connect()
            self._connection = connection
            if life != self._life:  # hung up before there was a connection to hang up
                return
            connection.sock.settimeout(3600.0)  # silence is no trouble: the end comes by _hang_up
            end = SUBNETS[:-1] + chr(ord(SUBNETS[-1]) + 1)
            request = {
                "key": base64.b64encode(SUBNETS.encode()).decode(),
                "range_end": base64.b64encode(end.encode()).decode(),
                "start_revision": self._revision + 1,
            }
            connection.request("POST", "/v3/watch", json.dumps({"create_request": request}))
            answer = connection.getresponse()
            while (line := answer.readline()) and life == self._life and not self._ended.is_set():
                self._read(json.loads(line)["result"])
        finally:
            self._connection = None
            connection.close()

    def _read(self, said: dict[str, Any]) -> None:
        if "compact_revision" in said:
            self._list()
            return
        for event in said.get("events", []):
            key = base64.b64decode(event["kv"]["key"]).decode(errors="replace")
            if event.get("type") == "DELETE":
                self.book.deleted(key)
            else:
                value = base64.b64decode(event["kv"].get("value", "")).decode(errors="replace")
                self.book.put(key, value, revision=int(event["kv"]["mod_revision"]))
            self._revision = int(event["kv"]["mod_revision"])
