"""Owns a lab whose hosts meet at flanpy's embedded store, by TLS with certificates of their own."""

from __future__ import annotations

from collections.abc import Sequence

from integration.etcd.cluster import Etcd
from integration.etcd.embedded import StoreEtcd, StoreMember
from integration.etcd.pki import Authority
from integration.hosts.daemon import HostDaemon
from integration.hosts.lab import Lab
from integration.net.topology import Seat

CLIENT = "client"


class TlsDaemon(HostDaemon):
    """A daemon with a client certificate."""

    authority: Authority

    @property
    def flags(self) -> list[str]:
        """Flannel's flags, with those of TLS."""
        files = self.authority.certificate.parent
        return [
            *super().flags,
            f"--etcd-cafile={self.authority.certificate}",
            f"--etcd-certfile={files / CLIENT}.crt",
            f"--etcd-keyfile={files / CLIENT}.key",
        ]


class StoreLab(Lab):
    """As `Lab`, with the store on etcd's seat."""

    authority: Authority

    @property
    def store(self) -> StoreMember:
        """Return the store."""
        (member,) = self.etcd.members
        assert isinstance(member, StoreMember)
        return member

    def _cluster(self, seats: Sequence[Seat]) -> Etcd:
        self.authority = Authority(self.directory / "pki")
        (seat,) = seats
        server = self.authority.issue("server", names=f"IP:{seat.address},IP:127.0.0.1")
        self.authority.issue(CLIENT, names="DNS:client.invalid")
        member = StoreMember("store", seat.namespace, seat.address, directory=self.directory, scheme="https")
        member.guards = (server.certificate, server.key, self.authority.certificate)
        return StoreEtcd([member])

    def _daemon(self, seat: Seat) -> HostDaemon:
        name = seat.namespace.rpartition("-")[2]
        daemon = TlsDaemon(
            name,
            seat.namespace,
            self._program,
            directory=self.directory / name,
            endpoints=self.etcd.endpoints,
        )
        daemon.authority = self.authority
        return daemon
