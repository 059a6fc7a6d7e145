"""The end of a certificate file, and flanpyd's report of one that has ended."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from flanpy.store.session.certificate import ended
from flanpy.store.session.faults import read_fault


@pytest.fixture(scope="module", params=["ec -pkeyopt ec_paramgen_curve:prime256v1", "rsa:4096"])
def certificate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good for one day from now, behind some words, as openssl x509 -text writes it; its key after it."""
    path = tmp_path_factory.mktemp("certificate") / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *request.param.split(), "-nodes", "-days", "1", "-subj", "/O=flanpy",
         "-keyout", str(path.with_name("key.pem")), "-out", str(path)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    path.write_text("Certificate:\n" + path.read_text() + path.with_name("key.pem").read_text())
    return path


def test_end_of_a_certificate_is_what_openssl_says(certificate: Path) -> None:
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    end = datetime.strptime(shown, "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    assert ended(certificate, end) == end
    assert ended(certificate, end - timedelta(seconds=1)) is None
    assert ended(certificate) is None


def test_file_that_is_no_certificate_has_not_ended(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    assert ended(None) is None
    assert ended(path) is None
    for text in (
        "",
        "not PEM",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n",
    ):
        path.write_text(text)
        assert ended(path) is None, text


def test_cut_certificate_has_not_ended(certificate: Path, tmp_path: Path) -> None:
    lines = certificate.read_text().splitlines()
    path = tmp_path / "cut.pem"
    for length in range(len(lines)):
        path.write_text("\n".join([*lines[:length], "-----END CERTIFICATE-----"]))
        assert ended(path) is None


def refusal(details: str, certificate: Path | None) -> str:
    error = AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), details=details)
    return str(read_fault(error, "get", "https://192.0.2.7:2379", username="", certificate=certificate).error)


@pytest.mark.parametrize(
    "alert", ["... SSLV3_ALERT_BAD_CERTIFICATE ...", "Unwrap failed (TSI_DATA_CORRUPTED)"]
)
def test_refused_certificate_that_ended_is_named_with_its_day(
    certificate: Path, tmp_path: Path, alert: str
) -> None:
    late = tmp_path / "late.pem"
    key = str(certificate.with_name("key.pem"))
    request = subprocess.run(
        ["openssl", "req", "-new", "-key", key, "-subj", "/O=late"], capture_output=True, check=True
    ).stdout
    late.write_bytes(
        subprocess.run(
            ["openssl", "x509", "-req", "-days", "-1", "-signkey", key],
            input=request,
            capture_output=True,
            check=True,
        ).stdout
    )
    end = ended(late)
    assert end is not None
    assert timedelta(hours=23) < datetime.now(UTC) - end < timedelta(hours=25)
    said = refusal(alert, late)
    assert f"our client certificate, which expired on {end:%Y-%m-%d}: renew etcd-certfile" in said


def test_refused_certificate_that_has_not_ended_is_told_as_before(certificate: Path) -> None:
    text = refusal("... SSLV3_ALERT_BAD_CERTIFICATE ...", certificate)
    assert text.endswith("or wants one: correct etcd-certfile and etcd-keyfile")


def test_etcds_own_certificate_that_ended_is_told_from_one_that_is_not_trusted() -> None:
    verify = "Ssl handshake failed: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
    assert "has expired: renew it there" in refusal(f"{verify}: certificate has expired", None)
    assert "not trusted for this name" in refusal(f"{verify}: unable to get local issuer certificate", None)
