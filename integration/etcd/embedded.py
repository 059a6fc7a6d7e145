"""Owns flanpy's embedded store in an etcd's place: one member, driven by etcdctl, as it has no JSON gateway.

    with LoopbackStore.started() as store: ...
    with LoopbackStore.started(client_certs=True) as store: store.members[0].kill()

It must not import the store: it is a program like etcd, of which only the flags are known.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from integration.etcd.api import Entry, EtcdApi, entry_of, revision_of
from integration.etcd.cluster import Etcd, EtcdMember, etcd_binary
from integration.etcd.loopback import HERE, LoopbackEtcd, LoopbackMember, free_ports
from integration.net.claim import PROJECT_ROOT
from integration.net.namespaces import LabError, connect, run_in

PROGRAM = ("env", f"PYTHONPATH={PROJECT_ROOT}", sys.executable, "-m", "flanpy.storeserver")


class EtcdctlApi(EtcdApi):
    """The calls of `EtcdApi`, each by a run of etcdctl."""

    def __init__(self, namespace: str, address: tuple[str, int], *, timeout: float = 20.0) -> None:
        super().__init__(namespace, address, timeout=timeout)
        self._namespace = namespace
        self._argv = (str(etcd_binary("etcdctl")), f"--endpoints={address[0]}:{address[1]}", "-w", "json")

    def run(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run etcdctl; what it printed, parsed."""
        limit = f"--command-timeout={self.timeout:g}s"
        done = run_in(
            self._namespace, [*self._argv, limit, *arguments], env={"ETCDCTL_API": "3"}, stdin=stdin
        )
        return json.loads(done.stdout)

    def call(self, path: str, body: dict[str, Any]) -> NoReturn:
        """Refuse: there is no gateway."""
        raise LabError(f"the embedded store has no JSON gateway: no {path} with {body}")

    def put(self, key: str, value: str, *, lease: int = 0) -> int:
        return revision_of(self.run("put", f"--lease={lease:x}", "--", key, value))

    def put_all(self, pairs: Any, *, lease: int = 0, ops: int = 100) -> int:
        revision, waiting = 0, list(pairs)
        while waiting:
            some, waiting = waiting[:ops], waiting[ops:]
            puts = [f"put {json.dumps(key)} {json.dumps(value)} --lease={lease:x}" for key, value in some]
            revision = revision_of(self.run("txn", stdin="\n".join(["", *puts, "", "", ""])))
        return revision

    def get(self, key: str) -> Entry | None:
        found = self.run("get", "--", key).get("kvs", [])
        return entry_of(found[0]) if found else None

    def list_at(self, prefix: str, revision: int) -> tuple[Entry, ...]:
        answer = self.run("get", "--prefix", f"--rev={revision}", "--", prefix)
        return tuple(map(entry_of, answer.get("kvs", [])))

    def delete(self, key: str) -> int:
        return int(self.run("del", "--", key).get("deleted", 0))

    def delete_prefix(self, prefix: str) -> int:
        return int(self.run("del", "--prefix", "--", prefix).get("deleted", 0))

    def grant(self, ttl: int) -> int:
        return int(self.run("lease", "grant", str(ttl))["ID"])

    def revoke(self, lease: int) -> None:
        self.run("lease", "revoke", f"{lease:x}")

    def time_to_live(self, lease: int) -> int:
        return int(self.run("lease", "timetolive", f"{lease:x}")["ttl"])

    def revision(self) -> int:
        return revision_of(self.run("get", "/"))

    def compact(self, revision: int | None = None) -> int:
        at = self.revision() if revision is None else revision
        argv = [*self._argv[:2], "compaction", str(at)]
        run_in(self._namespace, argv, env={"ETCDCTL_API": "3"})
        return at

    def leader(self) -> tuple[int, int]:
        status = self.run("endpoint", "status")[0]["Status"]
        return int(status["header"]["member_id"]), int(status["leader"])

    def watch(self, prefix: str, *, start: int) -> Iterator[dict[str, Any]]:
        raise LabError(f"the lab does not watch the embedded store: no watch of {prefix} from {start}")


class StoreMember(EtcdMember):
    """The embedded store on an etcd's seat. `guards` are its TLS files: certificate, key, authority of clients."""

    guards: tuple[Path, Path, Path] | None = None

    @property
    def argv(self) -> list[str]:
        """Return its command line."""
        eyes = f"http://{self.eyes[0]}:{self.eyes[1]}"
        urls = [eyes] if self.scheme == "http" else [self.endpoint, eyes]
        tls = zip(
            ("--cert-file", "--key-file", "--trusted-ca-file"), map(str, self.guards or ()), strict=False
        )
        return [
            *self.prefix_argv, *PROGRAM, "--data-dir", str(self.storage),
            "--listen-client-urls", ",".join(urls), "--log-format", "json",
            *(word for pair in tls for word in pair), *self.flags,
        ]  # fmt: skip

    def launch(self) -> None:
        """Start it; does not wait."""
        self.start(self.argv)

    def healthy(self) -> bool:
        """Report whether it serves: it listens only then."""
        if not self.running:
            raise LabError(f"flanpy-store {self.name} ended with {self.exit_code}:\n{self.log_tail()}")
        try:
            connect(self.namespace, self.eyes, timeout=5.0).close()
        except OSError:
            return False
        return True


class StoreEtcd(Etcd):
    """The embedded store as a lab's etcd."""

    def new_api(self, member: EtcdMember, *, timeout: float = 20.0) -> EtcdctlApi:
        """As the base class, by etcdctl."""
        return EtcdctlApi(member.namespace, member.eyes, timeout=timeout)


class LoopbackStoreMember(LoopbackMember, StoreMember):
    """The embedded store with ports of its own."""


class LoopbackStore(LoopbackEtcd):
    """The embedded store without a lab; one member whatever is asked for."""

    members: tuple[LoopbackStoreMember, ...]

    def new_api(self, member: EtcdMember, *, timeout: float = 20.0) -> EtcdctlApi:
        """As the base class, by etcdctl."""
        return EtcdctlApi(member.namespace, member.eyes, timeout=timeout)

    @property
    def member(self) -> LoopbackStoreMember:
        """Return the one."""
        return self.members[0]

    def restore(self, snapshot: Path) -> None:
        """Kill it and start with what the backup holds."""
        self.kill()
        run_in("", [*PROGRAM[:-2], "-m", "flanpy.cli.main", "store", "restore", str(snapshot),
                    "--data-dir", str(self.member.storage)])  # fmt: skip
        self.lives += 1
        self.start()

    def _make_members(self, number: int, flags: Sequence[str]) -> None:
        ports = free_ports(3)
        member = LoopbackStoreMember(
            "store",
            self.directory,
            ports=(ports[0], ports[1], ports[2]),
            scheme="https" if self.tls else "http",
        )
        if number != 1:
            raise LabError(f"the embedded store is one copy, not {number}")
        if self.tls:
            names = ("server.crt", "server.key", "ca.crt")
            cert, key, ca = (self.directory / name for name in names)
            member.guards = (cert, key, ca)
        else:
            member.eyes = (HERE, member.client_port)
        member.flags = tuple(flags)
        self.members = (member,)

    def _forget(self) -> None:
        self.kill()
        for member in self.members:
            shutil.rmtree(member.storage, ignore_errors=True)
        self.lives += 1
