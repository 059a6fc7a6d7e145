"""Owns the certificates of a lab's etcd: an authority, and pairs that it signs for as long as is asked.

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
        run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/O=flanpy lab authority",
            "-keyout", str(directory / "ca.key"), "-out", str(self.certificate),
        ])  # fmt: skip

    @property
    def certificate(self) -> Path:
        """What both sides trust."""
        return self._directory / "ca.crt"

    def issue(self, name: str, *, names: str, seconds: float = DAY_S) -> Pair:
        """A new key and a certificate for it, in place of what `name` had; it ends in so many seconds."""
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        fresh = Pair(self._directory / f"{name}.crt.new", self._directory / f"{name}.key.new")
        request = self._directory / f"{name}.csr"
        now = datetime.now(UTC)
        run([
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/O=flanpy lab", "-addext", f"subjectAltName={names}",
            "-keyout", str(fresh.key), "-out", str(request),
        ])  # fmt: skip
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
