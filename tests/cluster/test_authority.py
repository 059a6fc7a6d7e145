"""Certificates by the real openssl: what is signed says what we say, whatever the request asks for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flanpy.cluster import authority
from flanpy.errors import HostError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority")
    authority.make_authority(path / "ca.crt", path / "ca.key")
    authority.make_key(path / "own.key")
    return path


def text_of(certificate: str) -> str:
    words = ["openssl", "x509", "-noout", "-text"]
    return subprocess.run(words, input=certificate, capture_output=True, text=True, check=True).stdout


def test_keys_are_their_owners_alone_and_are_kept(home: Path) -> None:
    before = (home / "ca.key").read_bytes(), (home / "ca.crt").read_bytes()
    authority.make_authority(home / "ca.crt", home / "ca.key")
    assert ((home / "ca.key").read_bytes(), (home / "ca.crt").read_bytes()) == before
    assert {(home / name).stat().st_mode & 0o777 for name in ("ca.key", "own.key")} == {0o600}


def test_member_is_known_by_its_key_and_not_by_its_request(home: Path) -> None:
    ids = {authority.member_id(authority.request_of(home / "own.key")) for _ in range(2)}
    assert len(ids) == 1


def test_request_that_asks_for_more_gets_a_clients_certificate_with_our_name(home: Path) -> None:
    words = ["openssl", "req", "-new", "-key", str(home / "own.key"), "-subj", "/CN=flanpy-store",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "subjectAltName=IP:192.0.2.1"]  # fmt: skip
    request = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    signed = authority.sign(request, authority=home / "ca.crt", key=home / "ca.key", name="0123456789abcdef")
    text = text_of(signed).replace(" = ", "=")  # OpenSSL 3.2 and newer write no blanks
    assert "Subject: O=flanpy, CN=0123456789abcdef" in text
    assert "Issuer: O=flanpy, CN=flanpy authority" in text
    assert "CA:FALSE" in text
    assert "TLS Web Server" not in text
    assert "192.0.2.1" not in text


def test_request_that_its_own_key_did_not_sign_gets_no_certificate(home: Path) -> None:
    request = authority.request_of(home / "own.key")
    lines = request.splitlines()
    lines[-2] = ("B" if lines[-2][0] != "B" else "C") + lines[-2][1:]
    for broken in ("\n".join(lines), "", "no request"):
        with pytest.raises(HostError):
            authority.sign(broken, authority=home / "ca.crt", key=home / "ca.key", name="x")
