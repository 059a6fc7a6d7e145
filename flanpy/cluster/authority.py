"""Keys, requests and certificates, by the openssl program.

Owns the calls. Keys are P-256; a key is made in a file that its owner alone reads, and never passes a command line.
Certificates live for ten years and are renewed in the last third of them: a member ends by being struck from the list
of members, not by a date, so that nothing stops because a host was away for long.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from flanpy.errors import HostError
from flanpy.files import atomic

DAYS: Final = 3650
_PARTS: Final = 3
_DEADLINE_S: Final = 30
_CURVE: Final = ("-pkeyopt", "ec_paramgen_curve:prime256v1")
_CONFIG: Final = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
"""
_PEM_KEY: Final = re.compile(r"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")
_ID_DIGITS: Final = 16


_PEM_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def digest_of(certificates: str) -> str:
    """Return the SHA-256 of certificates in PEM, in hex: of one, or of all that a promoted store goes by, in order.

    Raises `ValueError`.
    """
    found = _PEM_CERTIFICATE.findall(certificates)
    if not found:
        raise ValueError("no certificate")
    return hashlib.sha256(b"".join(map(ssl.PEM_cert_to_DER_cert, found))).hexdigest()


def joined(*texts: str) -> str:
    """Return all certificates of several texts in PEM, each once, in their order. The first is the one that signs."""
    found = (one for text in texts for one in _PEM_CERTIFICATE.findall(text))
    return "".join(f"{one}\n" for one in dict.fromkeys(found))


def speaks_for(certificate: Path, address: str) -> bool:
    """Tell whether a certificate is a server's at an address."""
    told = _openssl("x509", "-noout", "-in", str(certificate), "-checkip", address)
    return "does match" in told


def due(certificate: Path, *, now: float) -> bool:
    """Tell whether less than a third of a certificate's life is left."""
    told = _openssl("x509", "-noout", "-startdate", "-enddate", "-in", str(certificate))
    begin, end = (ssl.cert_time_to_seconds(line.partition("=")[2]) for line in told.splitlines())
    return end - now < (end - begin) / _PARTS


def make_key(path: Path) -> None:
    """Make a private key unless the file is there."""
    if path.exists():
        return
    atomic.write(path, _openssl("genpkey", "-algorithm", "EC", *_CURVE).encode(), mode=0o600)


def make_authority(certificate: Path, key: Path) -> None:
    """Make an authority that signs itself, unless it is there."""
    make_key(key)
    if certificate.exists():
        return
    with TemporaryDirectory() as directory:
        config = Path(directory, "config")
        config.write_text(_CONFIG)
        content = _openssl(
            "req", "-x509", "-new", "-config", str(config), "-extensions", "ca", "-key", str(key),
            "-days", str(DAYS), "-subj", "/O=flanpy/CN=flanpy authority",
        )  # fmt: skip
    atomic.write(certificate, content.encode())


def request_of(key: Path) -> str:
    """Return a request for a certificate, PEM; the name in it does not count."""
    return _openssl("req", "-new", "-key", str(key), "-subj", "/O=flanpy")


def member_id(request: str) -> str:
    """Return the id of the key in a request. Raises `HostError` for what is no request.

    Only `sign` proves that the applicant has the private half: `req -verify` of OpenSSL 3.0 ends with 0 in any case.
    """
    public = _openssl("req", "-noout", "-pubkey", stdin=request)
    found = _PEM_KEY.search(public)
    if found is None:
        raise HostError("a request for a certificate has no public key")
    return hashlib.sha256("".join(found[1].split()).encode()).hexdigest()[:_ID_DIGITS]


def sign(
    request: str, *, authority: Path, key: Path, name: str, addresses: Sequence[str] = (), days: int = DAYS
) -> str:
    """Return a certificate, PEM, for a request: with `name` as its common name whatever the request says.

    It is a server's only for `addresses`, else a client's alone. Raises `HostError` unless the request is signed with
    its own key.
    """
    usage = "serverAuth,clientAuth" if addresses else "clientAuth"
    lines = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        f"extendedKeyUsage={usage}",
    ]
    names = [f"IP:{one}" for one in addresses] or [f"DNS:{name}.invalid"]
    with TemporaryDirectory() as directory:
        extensions = Path(directory, "extensions")
        extensions.write_text("\n".join([*lines, f"subjectAltName={','.join(names)}", ""]))
        return _openssl(
            "x509", "-req", "-days", str(days), "-CA", str(authority), "-CAkey", str(key),
            "-set_serial", f"0x{os.urandom(16).hex()}", "-extfile", str(extensions), "-copy_extensions", "none",
            "-subj", f"/O=flanpy/CN={name}", stdin=request,
        )  # fmt: skip


def _openssl(*words: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(  # noqa: S603, words of ours
            ["openssl", *words],  # noqa: S607, wherever the host has it
            input=stdin, capture_output=True, text=True, timeout=_DEADLINE_S, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise HostError("certificates are made by openssl, which is not here: install openssl") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"openssl {words[0]} took longer than {_DEADLINE_S} s: try again") from error
    if done.returncode != 0:
        told = " ".join(done.stderr.split()) or "it says nothing"
        raise HostError(f"openssl {words[0]} failed: {told}")
    return done.stdout
