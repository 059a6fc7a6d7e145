"""Owns a lab's guarded etcd: three members and a spare seat, mutual TLS among them and with clients, and logins.

Each member also serves plainly on its own loopback, for the lab's eyes only. What can go wrong with the cluster as a
whole is here; cables and packets are integration.hosts.cables'.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from integration.etcd.access import ROOT, RootApi
from integration.etcd.cluster import CLIENT_PORT, PEER_PORT, Etcd, EtcdMember, etcd_binary
from integration.etcd.pki import Authority, Pair
from integration.net.namespaces import LabError, run_in
from integration.net.waiting import wait_until

LEADER_DEADLINE_S = 20.0
SEES_IN_S = 3.0
"""How long one question to one member may take; one without a leader answers only when it has one again."""


class GuardedMember(EtcdMember):
    """A member that shows its certificate and wants to see one."""

    def __init__(
        self, name: str, namespace: str, address: str, *, directory: Path, flags: Sequence[str]
    ) -> None:
        super().__init__(name, namespace, address, directory=directory)
        self.flags = tuple(flags)
        self.tokens: tuple[str, ...] = ()
        self.cluster_state = "new"
        self.prefix_argv: tuple[str, ...] = ()

    @property
    def endpoint(self) -> str:
        """The URL daemons are given."""
        return f"https://{self.address}:{CLIENT_PORT}"

    @property
    def peer_url(self) -> str:
        """Where the other members find it."""
        return f"https://{self.address}:{PEER_PORT}"

    def launch(self) -> None:
        """Start it; does not wait."""
        self.start([
            *self.prefix_argv, str(etcd_binary()), "--name", self.name, "--data-dir", str(self.storage),
            "--listen-client-urls", f"{self.endpoint},http://127.0.0.1:{CLIENT_PORT}",
            "--advertise-client-urls", self.endpoint,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", self.initial_cluster, "--initial-cluster-state", self.cluster_state,
            "--unsafe-no-fsync", "--log-level", "warn", "--logger", "zap", "--bcrypt-cost", "4",
            *self.flags, *self.tokens,
        ])  # fmt: skip


def member_flags(authority: Authority, *, server: Pair, peer: Pair) -> list[str]:
    """etcd's flags for TLS towards clients and among members; it reads the files at every handshake."""
    return [
        "--client-cert-auth", "--trusted-ca-file", str(authority.certificate),
        "--cert-file", str(server.certificate), "--key-file", str(server.key),
        "--peer-client-cert-auth", "--peer-trusted-ca-file", str(authority.certificate),
        "--peer-cert-file", str(peer.certificate), "--peer-key-file", str(peer.key),
    ]  # fmt: skip


class GuardedEtcd(Etcd):
    """`members` are those in the cluster; `spare` is a machine with the same certificates that waits for its turn.

    Members that are `shunned` are not asked by the lab, those `doubted` last: etcd takes ten seconds itself until a
    member that was cut off answers again.
    """

    def __init__(self, seats: Sequence[GuardedMember], *, password: str) -> None:
        super().__init__(seats[:3])
        self.spare = seats[3]
        self.guarded: list[GuardedMember] = list(seats[:3])
        self.shunned: set[str] = set()
        self.doubted: set[str] = set()
        self._password = password
        self._apis: dict[tuple[str, int], RootApi] = {}
        for member in self.guarded:
            member.initial_cluster = self.initial_cluster

    @property
    def initial_cluster(self) -> str:
        """The members as `--initial-cluster` takes them."""
        return ",".join(f"{member.name}={member.peer_url}" for member in self.guarded)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The flags about tokens that the next start is given."""
        return self.spare.tokens

    @tokens.setter
    def tokens(self, flags: tuple[str, ...]) -> None:
        for member in (*self.guarded, self.spare):
            member.tokens = flags

    @property
    def api(self) -> RootApi:
        """The first member that runs and is not cut off, kept as long as it lives."""
        return self.api_at(self.one_that_answers())

    def api_at(self, member: GuardedMember) -> RootApi:
        """One member's, for the caller's thread."""
        life = (member.name, member.starts)
        if life not in self._apis:
            self._apis[life] = self.new_api(member)
        return self._apis[life]

    def new_api(self, member: GuardedMember, *, timeout: float = 20.0) -> RootApi:
        """A connection of the caller's own."""
        return RootApi(member.namespace, ("127.0.0.1", CLIENT_PORT), password=self._password, timeout=timeout)

    def answering(self) -> list[GuardedMember]:
        """The members that may answer now, those first that most surely do."""
        found = [member for member in self.guarded if member.running and member.name not in self.shunned]
        return sorted(found, key=lambda member: member.name in self.doubted)

    def one_that_answers(self) -> GuardedMember:
        """The first of them; LabError when there is none."""
        return self._eyes()[0]

    def _eyes(self) -> list[GuardedMember]:
        if found := self.answering():
            return found
        raise LabError("no etcd member runs that is not cut off")

    def lead(self, member: GuardedMember) -> None:
        """Make a member the leader."""

        def leads() -> bool:
            leader = self.leader()
            if leader is not member:
                own, _ = self.api_at(member).leader()
                with suppress(LabError):  # an election came first
                    self.api_at(leader).call("/v3/maintenance/transfer-leadership", {"targetID": str(own)})
            return leader is member

        wait_until(leads, f"{member.name} leads", deadline=LEADER_DEADLINE_S, poll=0.1)

    def leader(self) -> GuardedMember:
        """Who leads, as it says itself; waits for an election."""
        found: list[GuardedMember] = []

        def elected() -> bool:
            for member in self._eyes():
                try:
                    own, leader = self.api_at(member).leader()
                except LabError:
                    continue
                if own == leader:
                    found.append(member)
                    return True
            return False

        wait_until(elected, "etcd has a leader", deadline=LEADER_DEADLINE_S)
        return found[0]

    def snapshot(self, name: str) -> Path:
        """A backup of now."""
        path = self.guarded[0].storage.parent / name
        member = self._eyes()[0]
        argv = [
            str(etcd_binary("etcdctl")),
            "--endpoints",
            f"http://127.0.0.1:{CLIENT_PORT}",
            "snapshot",
            "save",
        ]
        run_in(
            member.namespace,
            [*argv, str(path)],
            env={"ETCDCTL_API": "3", "ETCDCTL_USER": f"{ROOT}:{self._password}"},
        )
        return path

    def restore(self, snapshot: Path) -> None:
        """Kill all and start with what the backup holds, as an operator does after a disaster."""
        self.kill()
        for member in self.guarded:
            shutil.rmtree(member.storage, ignore_errors=True)
            run_in(member.namespace, [
                str(etcd_binary("etcdutl")), "snapshot", "restore", str(snapshot), "--name", member.name,
                "--data-dir", str(member.storage), "--initial-cluster", self.initial_cluster,
                "--initial-advertise-peer-urls", member.peer_url,
            ])  # fmt: skip
            member.cluster_state, member.initial_cluster = "new", self.initial_cluster
        self.launch()

    def roll(self) -> Iterator[GuardedMember]:
        """Restart the members in their turn, as for another version; yields each while it is away."""
        for member in tuple(self.guarded):
            member.stop()
            yield member
            member.launch()
            self.wait_healthy()

    def wipe(self) -> None:
        """Lose all data, users and permissions too; starts anew and serves."""
        self.kill()
        for member in self.guarded:
            shutil.rmtree(member.storage, ignore_errors=True)
            member.cluster_state, member.initial_cluster = "new", self.initial_cluster
        self.start()

    def replace(self, old: GuardedMember) -> GuardedMember:
        """Take a member out for good and put the spare machine in its place; returns the new member.

        The old one becomes the spare.
        """
        old.kill()
        self.wait_quorum()
        self.api.remove_member(old.peer_url)
        new, self.spare = self.spare, old
        wait_until(lambda: self._announced(new), f"{new.name} announced to etcd", deadline=LEADER_DEADLINE_S)
        shutil.rmtree(new.storage, ignore_errors=True)
        self.guarded = [member for member in self.guarded if member is not old] + [new]
        self.members = tuple(self.guarded)
        new.initial_cluster, new.cluster_state = self.initial_cluster, "existing"
        # One that got its data as a snapshot takes no simple token until it restarts.
        self.doubted.add(new.name)
        new.launch()
        self.wait_healthy()
        return new

    def _announced(self, member: GuardedMember) -> bool:
        try:
            self.api.add_member(member.peer_url)
        except LabError as error:
            return "Peer URLs already exists" in str(error)
        return True
