"""The TLS files for etcd, looked at before anything is dialed: a file that cannot be used is no fault of etcd's.

Owns the words for each such file. Must not import grpc: doctor asks here too.
"""

from __future__ import annotations

import codecs
import ssl
from pathlib import Path
from typing import Final

from flanpy.errors import StoreError

_CERTIFICATE: Final = (b"-----BEGIN CERTIFICATE", b"-----BEGIN X509", b"-----BEGIN TRUSTED")
_KEY: Final = b"PRIVATE KEY-----"
_DER: Final = b"\x30"


def check(ca: Path | None, cert: Path | None, key: Path | None) -> None:
    """Raise `StoreError` naming the first file that cannot be used, with the cure."""
    if ca is not None:
        _check_certificate("etcd-cafile", ca)
        _load_authorities(ca)
    if cert is not None and key is not None:
        _check_certificate("etcd-certfile", cert)
        _check_key(key)
        _check_pair(cert, key)


def _check_certificate(option: str, path: Path) -> None:
    content = _content(option, path)
    if not any(begin in content for begin in _CERTIFICATE):
        if _KEY in content:
            raise _unusable(option, path, "is a private key: name the certificate")
        raise _unusable(option, path, _form(content, "x509"))


def _check_key(path: Path) -> None:
    option = "etcd-keyfile"
    content = _content(option, path)
    if _KEY not in content:
        if any(begin in content for begin in _CERTIFICATE):
            raise _unusable(option, path, "is a certificate: name its private key")
        raise _unusable(option, path, _form(content, "pkey"))
    if b"ENCRYPTED" in content:
        raise _unusable(option, path, "has a passphrase: remove it (openssl pkey -in FILE -out NEW)")


def _check_pair(cert: Path, key: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _unusable(
                "etcd-keyfile", key, f"is the key of another certificate than etcd-certfile {str(cert)!r}"
            ) from error
        raise _unusable("etcd-certfile", cert, f"or etcd-keyfile {str(key)!r} is damaged") from error
    except OSError as error:
        raise _unusable("etcd-certfile", cert, f"cannot be read: {error.strerror}") from error


def _load_authorities(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise _unusable("etcd-cafile", path, "holds a certificate that is damaged") from error
    except OSError as error:
        raise _unusable("etcd-cafile", path, f"cannot be read: {error.strerror}") from error


def _content(option: str, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(option, path, f"cannot be read: {error.strerror}") from error
    if content.startswith(codecs.BOM_UTF8):
        raise _unusable(option, path, "begins with a byte order mark: save it without one")
    return content


def _form(content: bytes, program: str) -> str:
    if content.startswith(_DER):
        return f"is in DER: write it in PEM (openssl {program} -inform der -in FILE -out NEW)"
    return "holds nothing in PEM"


def _unusable(option: str, path: Path, reason: str) -> StoreError:
    return StoreError(f"{option} {str(path)!r} {reason}")
