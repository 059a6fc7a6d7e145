"""Owns the certificates of an etcd: an authority, and pairs that it signs for as long as is asked; keys of JWTs.

It must not know who uses them. Files are replaced as certificate renewers do it, each by a rename; an old pair that
was opened before goes on to be what it was. Certificates have no common name: etcd takes a client's for a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from integration.net.namespaces import run

DAY_S = 86_400.0

_AUTHORITY = """
[ca]
default_ca = lab
[lab]
database = {directory}/index.txt
new_certs_dir = {directory}/issued
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
private_key = {directory}/ca.key
certificate = {directory}/ca.crt
[any]
organizationName = optional
"""


def make_ca(directory: Path, name: str) -> None:
    """Make a self-signed authority: `name`.crt and `name`.key."""
    run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", f"/O=lab authority {name}",
        "-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.crt"),
    ])  # fmt: skip


def make_certificate(directory: Path, name: str, *, names: str, ca: str = "ca") -> None:
    """Make `name`.crt and `name`.key, signed by `ca`, for two days."""
    request = directory / f"{name}.csr"
    _request(names, key=directory / f"{name}.key", request=request)
    run([
        "openssl", "x509", "-req", "-in", str(request), "-days", "2", "-copy_extensions", "copy",
        "-CA", str(directory / f"{ca}.crt"), "-CAkey", str(directory / f"{ca}.key"), "-CAcreateserial",
        "-out", str(directory / f"{name}.crt"),
    ])  # fmt: skip


def make_jwt_keys(directory: Path, *, ttl: str) -> str:
    """Make a key pair for JWT tokens, which live `ttl` whether used or not; returns the flag that makes etcd use it."""
    private, public = directory / "jwt.key", directory / "jwt.pub"
    run(["openssl", "genrsa", "-out", str(private), "2048"])
    run(["openssl", "rsa", "-in", str(private), "-pubout", "-out", str(public)])
    return f"--auth-token=jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl={ttl}"


def _request(names: str, *, key: Path, request: Path) -> None:
    run([
        "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/O=lab", "-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(request),
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """An authority with its files in one directory."""

    def __init__(self, directory: Path) -> None:
        (directory / "issued").mkdir(parents=True)
        self._directory = directory
        self._config = directory / "ca.cnf"
        self._config.write_text(_AUTHORITY.format(directory=directory))
        (directory / "index.txt").touch()
        make_ca(directory, "ca")

    @property
    def certificate(self) -> Path:
        """Return the CA certificate, which both sides trust."""
        return self._directory / "ca.crt"

    def issue(self, name: str, *, names: str, seconds: float = DAY_S) -> Pair:
        """A new key and a certificate for it, in place of what `name` had; it ends in so many seconds."""
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        fresh = Pair(self._directory / f"{name}.crt.new", self._directory / f"{name}.key.new")
        request = self._directory / f"{name}.csr"
        now = datetime.now(UTC)
        _request(names, key=fresh.key, request=request)
        run([
            "openssl", "ca", "-batch", "-notext", "-config", str(self._config), "-in", str(request),
            "-out", str(fresh.certificate), "-startdate", _moment(now - timedelta(days=1)),
            "-enddate", _moment(now + timedelta(seconds=seconds)),
        ])  # fmt: skip
        fresh.key.replace(pair.key)
        fresh.certificate.replace(pair.certificate)
        return pair


def _moment(when: datetime) -> str:
    return when.strftime("%Y%m%d%H%M%SZ")
