"""Owns a lab's guarded etcd: three members and a spare seat, mutual TLS among them and with clients, and logins.

What can go wrong with any cluster is in `cluster`; what only logins and a spare machine make possible is here.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from integration.etcd.access import ROOT, RootApi
from integration.etcd.cluster import READY_DEADLINE_S, Etcd, EtcdMember
from integration.etcd.pki import Authority, Pair
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until


def member_flags(authority: Authority, *, server: Pair, peer: Pair) -> list[str]:
    """Return etcd's flags for TLS towards clients and among members; it reads the files at every handshake."""
    return [
        "--client-cert-auth", "--trusted-ca-file", str(authority.certificate),
        "--cert-file", str(server.certificate), "--key-file", str(server.key),
        "--peer-client-cert-auth", "--peer-trusted-ca-file", str(authority.certificate),
        "--peer-cert-file", str(peer.certificate), "--peer-key-file", str(peer.key),
    ]  # fmt: skip


class GuardedEtcd(Etcd):
    """`members` are those in the cluster; `spare` is a machine with the same certificates that waits for its turn."""

    def __init__(self, seats: Sequence[EtcdMember], *, password: str) -> None:
        super().__init__(seats[:3])
        self.spare = seats[3]
        self._password = password

    @property
    def tokens(self) -> tuple[str, ...]:
        """The flags about tokens that the next start is given."""
        return self.spare.tokens

    @tokens.setter
    def tokens(self, flags: tuple[str, ...]) -> None:
        for member in (*self.members, self.spare):
            member.tokens = flags

    @property
    def api(self) -> RootApi:
        """As the base class, with root's rights."""
        return self.api_at(self.one_that_answers())

    def api_at(self, member: EtcdMember) -> RootApi:
        """As the base class, with root's rights."""
        found = super().api_at(member)
        assert isinstance(found, RootApi)
        return found

    def new_api(self, member: EtcdMember, *, timeout: float = 20.0) -> RootApi:
        """As the base class, with root's rights."""
        return RootApi(member.namespace, member.eyes, password=self._password, timeout=timeout)

    def _login(self) -> dict[str, str]:
        return {"ETCDCTL_USER": f"{ROOT}:{self._password}"}

    def replace(self, old: EtcdMember) -> EtcdMember:
        """Take a member out for good and put the spare machine in its place; returns the new member.

        The old one becomes the spare.
        """
        old.kill()
        self.wait_quorum()
        self.api.remove_member(old.peer_url)
        new, self.spare = self.spare, old
        wait_until(lambda: self._announced(new), f"{new.name} announced to etcd", deadline=READY_DEADLINE_S)
        shutil.rmtree(new.storage, ignore_errors=True)
        self.members = (*(member for member in self.members if member is not old), new)
        new.initial_cluster, new.cluster_state = self.initial_cluster, "existing"
        # One that got its data as a snapshot takes no simple token until it restarts.
        self.doubted.add(new.name)
        new.launch()
        self.wait_healthy()
        return new

    def _announced(self, member: EtcdMember) -> bool:
        try:
            self.api.add_member(member.peer_url)
        except LabError as error:
            return "Peer URLs already exists" in str(error)
        return True
