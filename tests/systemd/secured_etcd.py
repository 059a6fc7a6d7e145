"""An etcd that asks who is there: certificates on both sides and a password besides, in the lab's etcd namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integration.hosts.systemd import SystemdLab
from integration.lab import ETCD_PREFIX, LabError, etcd_binary
from integration.net import namespaces
from integration.net.child import Child
from integration.net.waiting import wait_until
from tests.etcd_server import make_ca, make_certificate

PORT = 12379
PEER_PORT = 12380
USER, PASSWORD = "flanpy", "correct-horse"


@dataclass(frozen=True)
class SecuredEtcd:
    """The endpoint of the etcd, and its certificates."""

    namespace: str
    endpoint: str
    directory: Path

    def ctl(self, *words: str, user: str = "root:root-password") -> str:
        """etcdctl with the operator's certificate."""
        argv = [str(etcd_binary("etcdctl")), f"--endpoints={self.endpoint}", *self._tls, *words]
        who = [f"--user={user}"] if user else []
        return namespaces.run_in(self.namespace, [*argv, *who], env={"ETCDCTL_API": "3"}).stdout

    def certificate(self, name: str) -> tuple[str, str]:
        """A new client certificate and its key, as PEM."""
        make_certificate(self.directory, name, names=f"DNS:{name}.invalid")
        return (self.directory / f"{name}.crt").read_text(), (self.directory / f"{name}.key").read_text()

    @property
    def ca(self) -> str:
        """The authority's certificate, as PEM."""
        return (self.directory / "ca.crt").read_text()

    @property
    def _tls(self) -> list[str]:
        names = {"cacert": "ca.crt", "cert": "operator.crt", "key": "operator.key"}
        return [f"--{flag}={self.directory / file}" for flag, file in names.items()]

    def allow(self) -> None:
        """The network's config, and a user who may use its prefix."""
        config = {"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}
        self.ctl("put", f"{ETCD_PREFIX}/config", json.dumps(config), user="")
        for words in (
            ("user", "add", "root:root-password"),
            ("user", "grant-role", "root", "root"),
            ("user", "add", f"{USER}:{PASSWORD}"),
            ("role", "add", USER),
            ("role", "grant-permission", USER, "readwrite", "--prefix=true", f"{ETCD_PREFIX}/"),
            ("user", "grant-role", USER, USER),
            ("auth", "enable"),
        ):
            self.ctl(*words, user="")


@contextmanager
def secured(lab: SystemdLab) -> Iterator[SecuredEtcd]:
    """It serves; it ends with the lab at the latest."""
    directory = lab.directory / "secured"
    directory.mkdir()
    seat = lab.etcd.members[0]
    make_ca(directory, "ca")
    make_certificate(directory, "server", names=f"IP:{seat.address},IP:127.0.0.1")
    make_certificate(directory, "operator", names="DNS:operator.invalid")
    etcd = SecuredEtcd(seat.namespace, f"https://{seat.address}:{PORT}", directory)
    child = Child("secured etcd", seat.namespace, log=directory / "etcd.log")
    child.start([
        str(etcd_binary()), "--name=secured", f"--data-dir={directory / 'data'}",
        f"--listen-client-urls={etcd.endpoint}", f"--advertise-client-urls={etcd.endpoint}",
        f"--listen-peer-urls=http://127.0.0.1:{PEER_PORT}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{PEER_PORT}",
        f"--initial-cluster=secured=http://127.0.0.1:{PEER_PORT}", "--unsafe-no-fsync", "--log-level=warn",
        "--client-cert-auth", f"--trusted-ca-file={directory / 'ca.crt'}",
        f"--cert-file={directory / 'server.crt'}", f"--key-file={directory / 'server.key'}",
    ])  # fmt: skip
    try:
        wait_until(lambda: _serves(etcd), "the secured etcd serves", deadline=20, poll=0.1)
        etcd.allow()
        yield etcd
    finally:
        child.stop()


def _serves(etcd: SecuredEtcd) -> bool:
    try:
        etcd.ctl("endpoint", "health", user="")
    except LabError:
        return False
    return True
