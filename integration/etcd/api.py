"""Owns talking to an etcd through its v3 JSON gateway, from inside a namespace, with nothing but the stdlib.

It must not use the project's own store: the lab judges that one. Keys and values are text here.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from integration.net.namespaces import LabError, connect

ETCD_PREFIX = "/coreos.com/network"
"""Where everything of one overlay network stands; flannel's own."""
_SILENCE_S = 3600.0
"""How long a watch may have nothing to tell."""
TXN_OPS = 100  # etcd refuses more than 128 in one transaction


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as etcd holds it; `lease` 0 means it never expires."""

    key: str
    value: str
    create_revision: int
    mod_revision: int
    lease: int


class NamespaceConnection(http.client.HTTPConnection):
    """An HTTP connection whose socket is opened inside a namespace."""

    def __init__(self, namespace: str, host: str, port: int, *, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._namespace = namespace
        self.deadline = timeout

    def set_deadline(self, seconds: float) -> None:
        """Set the time that each of the next answers may take."""
        self.deadline = seconds
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def connect(self) -> None:
        """Open the socket; called by http.client when the first request is made."""
        self.sock = connect(self._namespace, (self.host, self.port), timeout=self.deadline)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def fetch(namespace: str, address: tuple[str, int], path: str, *, timeout: float = 2.0) -> tuple[int, str]:
    """GET a page from inside a namespace: (status, body). OSError when nothing answers there."""
    connection = NamespaceConnection(namespace, *address, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"http://{address[0]}:{address[1]}{path}: {error!r}") from error
    finally:
        connection.close()


class EtcdApi:
    """The calls tests and benchmarks make behind the daemons' backs; one connection, for one thread at a time."""

    def __init__(self, namespace: str, address: tuple[str, int], *, timeout: float = 20.0) -> None:
        self._connection = NamespaceConnection(namespace, *address, timeout=timeout)

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST to the gateway; LabError with etcd's own words when it refuses."""
        try:
            self._connection.request("POST", path, json.dumps(body), self._headers())
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next call connects again
            raise LabError(f"etcd {path}: {error!r}") from error
        if answer.status != 200:
            raise LabError(f"etcd {path}: {answer.status} {text.decode(errors='replace').strip()}")
        found: dict[str, Any] = json.loads(text)
        return found

    def _headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json"}

    @property
    def timeout(self) -> float:
        """The deadline of each call, in seconds."""
        return self._connection.deadline

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._connection.set_deadline(seconds)

    def put(self, key: str, value: str, *, lease: int = 0) -> int:
        """Put one key; returns the revision."""
        return revision_of(self.call("/v3/kv/put", _put(key, value, lease)))

    def put_all(self, pairs: Iterable[tuple[str, str]], *, lease: int = 0, ops: int = TXN_OPS) -> int:
        """Put many keys, `ops` a transaction; returns the revision of the last."""
        revision = 0
        for some in _slices(list(pairs), ops):
            requests = [{"requestPut": _put(key, value, lease)} for key, value in some]
            revision = revision_of(self.call("/v3/kv/txn", {"success": requests}))
        return revision

    def get(self, key: str) -> Entry | None:
        """One key, or None."""
        found = self.call("/v3/kv/range", {"key": coded(key)}).get("kvs", [])
        return entry_of(found[0]) if found else None

    def list(self, prefix: str) -> tuple[Entry, ...]:
        """Every key under a prefix, in key order."""
        return self.list_at(prefix, 0)

    def list_at(self, prefix: str, revision: int) -> tuple[Entry, ...]:
        """The same as it was at a revision (0: now)."""
        body = {"key": coded(prefix), "range_end": coded(after(prefix)), "revision": revision}
        return tuple(entry_of(found) for found in self.call("/v3/kv/range", body).get("kvs", []))

    def delete(self, key: str) -> int:
        """Delete one key; returns how many there were."""
        return int(self.call("/v3/kv/deleterange", {"key": coded(key)}).get("deleted", 0))

    def delete_prefix(self, prefix: str) -> int:
        """Delete every key under a prefix; returns how many there were."""
        body = {"key": coded(prefix), "range_end": coded(after(prefix))}
        return int(self.call("/v3/kv/deleterange", body).get("deleted", 0))

    def grant(self, ttl: int) -> int:
        """A new etcd lease of `ttl` seconds; returns its id."""
        return int(self.call("/v3/lease/grant", {"TTL": ttl})["ID"])

    def revoke(self, lease: int) -> None:
        """End an etcd lease, and with it every key bound to it."""
        self.call("/v3/lease/revoke", {"ID": lease})

    def time_to_live(self, lease: int) -> int:
        """Seconds left of an etcd lease; -1 when it is gone."""
        return int(self.call("/v3/lease/timetolive", {"ID": lease}).get("TTL", 0))

    def revision(self) -> int:
        """The store's current revision."""
        return revision_of(self.call("/v3/kv/range", {"key": coded("/")}))

    def compact(self, revision: int | None = None) -> int:
        """Forget the history before a revision (default: the current one); returns it."""
        at = self.revision() if revision is None else revision
        self.call("/v3/kv/compaction", {"revision": at, "physical": True})
        return at

    def leader(self) -> tuple[int, int]:
        """(this member's id, the leader's id or 0)."""
        said = self.call("/v3/maintenance/status", {})
        return int(said["header"]["member_id"]), int(said.get("leader", 0))

    def watch(self, prefix: str, *, start: int) -> Iterator[dict[str, Any]]:
        """Every answer of a watch from a revision on; the connection serves nothing else then, until `hang_up`."""
        asked = {"key": coded(prefix), "range_end": coded(after(prefix)), "start_revision": start}
        connection = self._connection
        connection.set_deadline(_SILENCE_S)
        connection.request("POST", "/v3/watch", json.dumps({"create_request": asked}), self._headers())
        answer = connection.getresponse()
        while line := answer.readline():
            yield json.loads(line)["result"]

    def hang_up(self) -> None:
        """End a watch from another thread."""
        if (sock := self._connection.sock) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()


def _slices(pairs: Sequence[tuple[str, str]], size: int) -> Iterable[Sequence[tuple[str, str]]]:
    return (pairs[start : start + size] for start in range(0, len(pairs), size))


def coded(text: str) -> str:
    """Code a key or value as the gateway takes it."""
    return base64.b64encode(text.encode()).decode()


def text_of(answer: str) -> str:
    """Read a key or value that the gateway gave."""
    return base64.b64decode(answer).decode(errors="replace")


def after(prefix: str) -> str:
    """The first key behind every key with this prefix (etcd's range_end rule; ASCII prefixes only)."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _put(key: str, value: str, lease: int) -> dict[str, Any]:
    return {"key": coded(key), "value": coded(value), "lease": lease}


def revision_of(answer: dict[str, Any]) -> int:
    """Read the revision in an answer's header."""
    return int(answer["header"]["revision"])


def entry_of(found: dict[str, Any]) -> Entry:
    """Read a key as the gateway, or etcdctl with JSON, tells it."""
    return Entry(
        key=text_of(found["key"]),
        value=text_of(found.get("value", "")),
        create_revision=int(found["create_revision"]),
        mod_revision=int(found["mod_revision"]),
        lease=int(found.get("lease", 0)),
    )
