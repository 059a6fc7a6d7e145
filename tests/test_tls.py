"""TLS as a client: what every Python accepts, and what none does."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from flanpy.tls import client_context


@pytest.fixture(scope="module")
def plain_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority without the key usage extension, and its key."""
    directory = tmp_path_factory.mktemp("authority")
    cert, key, config = directory / "ca.pem", directory / "ca.key", directory / "openssl.cnf"
    config.write_text(
        "[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n"
        "[ext]\nbasicConstraints=critical,CA:TRUE\nsubjectAltName=IP:127.0.0.1\nsubjectKeyIdentifier=hash\n"
    )
    subprocess.run(
        ["openssl", "req", "-x509", "-config", config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=plain", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def _greet(server_files: tuple[Path, Path], client: ssl.SSLContext) -> str:
    """Return the version of TLS that a handshake with such a server agrees on."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*server_files)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            taken, _ = listening.accept()
            try:
                tls.wrap_socket(taken, server_side=True).close()
            except OSError:
                taken.close()

        server = threading.Thread(target=serve)
        server.start()
        try:
            with (
                socket.create_connection(listening.getsockname()[:2]) as link,
                client.wrap_socket(link, server_hostname="127.0.0.1") as met,
            ):
                return met.version() or ""
        finally:
            server.join()


def test_authority_without_key_usage_is_accepted(plain_authority: tuple[Path, Path]) -> None:
    assert _greet(plain_authority, client_context(plain_authority[0])) == "TLSv1.3"


def test_authority_that_is_not_named_is_refused(plain_authority: tuple[Path, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _greet(plain_authority, client_context(None))
