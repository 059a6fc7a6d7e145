"""A running store with its two doors, on loopback, and the hosts that join it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from flanpy.cluster import authority, place, records, talk
from flanpy.cluster.place import EMBEDDED, Place
from flanpy.cluster.records import Member, TokenRecord
from flanpy.cluster.token import Token, fresh, hashed
from flanpy.store import etcdpb as pb
from integration.etcd.embedded import PROGRAM
from integration.etcd.loopback import HERE, free_ports
from integration.net.child import Child
from tests.etcd_server import poll
from tests.storeserver.clients import Raw


@dataclass
class Cluster:
    """A running store with its two doors, on loopback."""

    directory: Path
    ports: list[int] = field(default_factory=lambda: free_ports(2))
    host: str = HERE
    program: Sequence[str] = PROGRAM

    def __post_init__(self) -> None:
        self.ca, self.ca_key = self.directory / "ca.crt", self.directory / "ca.key"
        authority.make_authority(self.ca, self.ca_key)
        self.operator = self.shown = self.issue("store", records.OPERATOR, self.host)
        self.door = f"{self.host}:{self.ports[1]}"
        self.url = f"https://{self.host}:{self.ports[0]}"
        self.process = Child("store", "", log=self.directory / "log")

    def issue(self, file: str, name: str, *addresses: str) -> tuple[Path, Path]:
        """Make a key and a certificate of this authority, without asking the store."""
        key, certificate = self.directory / f"{file}.key", self.directory / f"{file}.crt"
        authority.make_key(key)
        request = authority.request_of(key)
        text = authority.sign(request, authority=self.ca, key=self.ca_key, name=name, addresses=addresses)
        certificate.write_text(text)
        return certificate, key

    def start(self) -> None:
        """Start the store and wait until it serves."""
        before = self.log().count("store_started")
        self.process.start(self.argv)
        poll(lambda: self.log().count("store_started") > before, "the store serves")

    @property
    def argv(self) -> Sequence[str]:
        """Return the command line."""
        certificate, key = self.shown
        return [
            *self.program, "--data-dir", str(self.directory / "data"), "--log-format", "json",
            "--listen-client-urls", self.url, "--listen-join-urls", f"https://{self.door}",
            "--cert-file", str(certificate), "--key-file", str(key), "--trusted-ca-file", str(self.ca),
            "--ca-key-file", str(self.ca_key),
        ]  # fmt: skip

    def log(self) -> str:
        """Return what the store said."""
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""

    @contextmanager
    def client(self, certificate: Path, key: Path) -> Iterator[Raw]:
        """Speak etcd's API with a certificate."""
        tls = grpc.ssl_channel_credentials(self.ca.read_bytes(), key.read_bytes(), certificate.read_bytes())
        with grpc.secure_channel(f"{self.host}:{self.ports[0]}", tls) as channel:
            yield Raw(channel)

    def token(self, *, uses: int = 1, lifetime: float = 3600.0) -> Token:
        """Write a token's record as the operator; return the token."""
        made = fresh((self.door,), authority.digest_of(self.ca.read_text()))
        record = TokenRecord(made.id, hashed(made.secret), int(time.time() + lifetime), uses)
        with self.client(*self.operator) as client:
            client.put(record.key.encode(), records.encoded(record))
        return made

    def join(self, token: Token, name: str, *, file: str = "") -> tuple[Path, Path]:
        """Join as a host does; return its certificate and key."""
        key, certificate = (self.directory / f"{file or name}.{kind}" for kind in ("key", "crt"))
        authority.make_key(key)
        ca = talk.fetch_authority(token.addresses, token.authority)
        said = talk.ask_any(token.addresses, talk.trusting(ca), self.question(token, name, key))
        certificate.write_text(said["certificate"])
        return certificate, key

    def question(self, token: Token, name: str, key: Path) -> dict[str, Any]:
        """Return what a host asks."""
        return {"do": "join", "token": token.id, "secret": token.secret, "request": authority.request_of(key),
                "name": name, "node_id": f"node of {name}", "address": HERE}  # fmt: skip

    def member_at(self, name: str, address: str) -> tuple[Path, Path]:
        """Make a member whose host has an address, as the operator; return its certificate, a server's too, and key."""
        key = self.directory / f"{name}.key"
        authority.make_key(key)
        id_ = authority.member_id(authority.request_of(key))
        pair = self.issue(name, id_, address)
        member = Member(id_, name, f"node of {name}", address, int(time.time()))
        with self.client(*self.operator) as client:
            client.put(member.key.encode(), records.encoded(member))
        return pair

    def settle(self) -> Place:
        """Write where the store is, as `cluster init` does."""
        with self.client(*self.operator) as client:
            header = client.kv.Range(pb.RangeRequest(key=b"/"), timeout=30).header
            here = Place(
                number=1, kind=EMBEDDED, endpoints=(self.url,), joins=(self.door,), cluster_id=header.cluster_id,
                generation=header.raft_term, member=header.member_id,
            )  # fmt: skip
            client.put(place.KEY.encode(), here.encoded())
        return here
