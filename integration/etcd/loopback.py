"""Owns an etcd without a lab: members on free loopback ports of this machine, plain, with TLS, or with logins.

    with LoopbackEtcd.started() as etcd: ...
    with LoopbackEtcd.started(members=3, tls=True) as etcd: etcd.members[0].kill()

The processes and their directory go at the end, whatever happens: members die with this process.
"""

from __future__ import annotations

import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from integration.etcd.access import ROOT, RootApi
from integration.etcd.api import EtcdApi
from integration.etcd.cluster import Etcd, EtcdMember, etcd_binary
from integration.etcd.pki import make_ca, make_certificate
from integration.net.namespaces import LabError, run

HERE = "127.0.0.1"
QUICK = ("--heartbeat-interval=50", "--election-timeout=500")
ATTEMPTS = 5
READY_S = 22.5


def free_ports(number: int) -> list[int]:
    """Return ports on 127.0.0.1 that nobody listens on now.

    Not from the ephemeral range: a client that keeps dialing a dead port from there may connect to itself, and the
    server that should come back finds its port taken.
    """
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HERE, port))
            found += [port] if port not in found else []
    return found


def make_certificates(directory: Path) -> None:
    """Make an authority, and certificates of it for a server on loopback and for a client."""
    make_ca(directory, "ca")
    make_certificate(directory, "server", names="IP:127.0.0.1,IP:::1,DNS:localhost")
    make_certificate(directory, "client", names="DNS:client.invalid")


class LoopbackMember(EtcdMember):
    """A member with ports of its own."""

    def __init__(self, name: str, directory: Path, *, ports: tuple[int, int, int], scheme: str) -> None:
        super().__init__(name, "", HERE, directory=directory, scheme=scheme)
        self.client_port, self.peer_port, eyes = ports
        self.eyes = (HERE, eyes)

    @property
    def endpoint(self) -> str:
        """Return the URL for clients."""
        return f"{self.scheme}://{HERE}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Return the URL for other members."""
        return f"http://{HERE}:{self.peer_port}"


class LoopbackEtcd(Etcd):
    """The cluster; `ctl` is an operator with all rights."""

    members: tuple[LoopbackMember, ...]

    def __init__(self, directory: Path, *, tls: bool, client_certs: bool) -> None:
        self.directory = directory
        self.tls = tls or client_certs
        self.client_certs = client_certs
        self.username = self.password = ""
        super().__init__(())

    @classmethod
    @contextmanager
    def started(
        cls,
        *flags: str,
        members: int = 1,
        tls: bool = False,
        client_certs: bool = False,
        password: str = "",
    ) -> Iterator[Self]:
        """A healthy cluster. `flags` go to every member; `client_certs` demands them (and TLS); a `password`
        enables authentication, with that password for root."""
        directory = Path(tempfile.mkdtemp(prefix="fp-etcd-"))
        etcd = cls(directory, tls=tls, client_certs=client_certs)
        try:
            etcd._first_start(members, flags)
            if password:
                etcd.enable_auth(password)
            yield etcd
        finally:
            etcd.kill()
            shutil.rmtree(directory, ignore_errors=True)

    @property
    def urls(self) -> tuple[str, ...]:
        """Every member's client URL."""
        return tuple(member.endpoint for member in self.members)

    @property
    def ca(self) -> Path:
        """The authority of all certificates."""
        return self.directory / "ca.crt"

    def new_api(self, member: EtcdMember, *, timeout: float = 20.0) -> EtcdApi:
        """Return a connection as the base class does, with root's rights where logins are asked for."""
        if not self.password:
            return super().new_api(member, timeout=timeout)
        return RootApi(member.namespace, member.eyes, password=self.password, timeout=timeout)

    def _login(self) -> dict[str, str]:
        return {"ETCDCTL_USER": f"{self.username}:{self.password}"} if self.username else {}

    def start(self) -> None:
        """Start the members that do not run; returns when each serves."""
        self.launch()
        self.wait_healthy(deadline=READY_S)

    def restore(self, snapshot: Path) -> None:
        """Restore as the base class does; return when each member serves."""
        super().restore(snapshot)
        self.wait_healthy(deadline=READY_S)

    def compact(self) -> int:
        """Forget all history; the revision. A slow etcd may have done so when its client asks a second time."""
        revision = self.api.revision()
        with suppress(LabError):
            self.api.compact(revision)
        return revision

    def ctl(self, *arguments: str) -> str:
        """Run etcdctl as root; its output."""
        return run(self.ctl_argv(*arguments), env={"ETCDCTL_API": "3", **self._login()}).stdout

    def ctl_argv(self, *arguments: str) -> list[str]:
        """Return the command line of etcdctl; it also needs ETCDCTL_API=3."""
        tls = [f"--cacert={self.ca}"] if self.tls else []
        if self.client_certs:
            tls += [f"--cert={self.directory / 'client.crt'}", f"--key={self.directory / 'client.key'}"]
        argv = [str(etcd_binary("etcdctl")), f"--endpoints={','.join(self.urls)}", "--command-timeout=10s"]
        return [*argv, *arguments, *tls]

    def enable_auth(self, password: str) -> None:
        """Give root a password and demand authentication."""
        RootApi("", self.one_that_answers().eyes, password=password).demand_login()
        self.username, self.password = ROOT, password
        self._apis.clear()

    def add_user(self, name: str, password: str, *, prefix: str = "") -> None:
        """Add a user that may read and write `prefix` (nothing if empty), by a role of its own."""
        self.ctl("user", "add", f"{name}:{password}")
        self.ctl("role", "add", f"{name}-role")
        if prefix:
            self.ctl("role", "grant-permission", f"{name}-role", "readwrite", prefix, "--prefix")
        self.ctl("user", "grant-role", name, f"{name}-role")

    def _first_start(self, number: int, flags: tuple[str, ...]) -> None:
        """Make and start the members; on other ports if somebody took ours meanwhile."""
        if self.tls:
            make_certificates(self.directory)
        for attempt in range(ATTEMPTS):
            self._make_members(number, flags)
            try:
                self.start()
            except LabError as error:
                if "address already in use" not in str(error) or attempt == ATTEMPTS - 1:
                    raise
                self._forget()
            else:
                return

    def _make_members(self, number: int, flags: tuple[str, ...]) -> None:
        ports = free_ports(3 * number)
        scheme = "https" if self.tls else "http"
        self.members = tuple(
            LoopbackMember(
                f"m{at}",
                self.directory,
                ports=(ports[3 * at], ports[3 * at + 1], ports[3 * at + 2]),
                scheme=scheme,
            )
            for at in range(number)
        )
        for member in self.members:
            member.flags = (*QUICK, *self._tls_flags(), *flags)
            member.initial_cluster = self.initial_cluster

    def _tls_flags(self) -> tuple[str, ...]:
        if not self.tls:
            return ()
        own = (f"--cert-file={self.directory / 'server.crt'}", f"--key-file={self.directory / 'server.key'}")
        return (*own, "--client-cert-auth", f"--trusted-ca-file={self.ca}") if self.client_certs else own
