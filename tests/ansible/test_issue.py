"""The collection's certificates: issued once, and again when there is a reason, which it names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.ansible.controller import COLLECTIONS

ISSUE = COLLECTIONS / "ansible_collections/flanpy/overlay/roles/pki/files/issue.sh"
REVOKE = ISSUE.with_name("revoke.sh")
SANS = "IP:192.0.2.7,DNS:h1,IP:127.0.0.1"


def issue(directory: Path, *flags: str, sans: str = SANS, within: int = 30) -> str:
    done = subprocess.run(
        ["sh", str(ISSUE), *flags, str(directory), "etcd-h1", sans, "365", "3650", str(within)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


def test_certificate_is_issued_once_by_an_authority_whose_key_nobody_else_reads(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    assert issue(pki) == "issued etcd-h1: there was none"
    assert issue(pki).startswith("kept etcd-h1: it ends ")
    subprocess.run(
        ["openssl", "verify", "-CAfile", str(pki / "ca.pem"), str(pki / "etcd-h1.pem")],
        check=True,
        capture_output=True,
    )
    assert {path.stat().st_mode & 0o077 for path in pki.iterdir()} == {0}
    assert sorted(path.name for path in pki.iterdir()) == [
        "ca-key.pem",
        "ca.pem",
        "etcd-h1-key.pem",
        "etcd-h1.pem",
    ]


def test_certificate_has_no_common_name_which_etcd_would_take_for_a_user(tmp_path: Path) -> None:
    issue(tmp_path)
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(tmp_path / "etcd-h1.pem"), "-noout", "-subject"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "CN" not in shown.stdout


@pytest.mark.parametrize(
    ("flags", "sans", "within", "reason"),
    [
        (["--renew"], SANS, 30, "as asked"),
        ([], SANS, 400, "it ended within 400 days"),
        ([], "IP:192.0.2.8,DNS:h1,IP:127.0.0.1", 30, "its names were others"),
    ],
)
def test_certificate_is_issued_anew_for_a_reason(
    tmp_path: Path, flags: list[str], sans: str, within: int, reason: str
) -> None:
    issue(tmp_path)
    before = (tmp_path / "etcd-h1.pem").read_text()
    assert issue(tmp_path, "--dry-run", *flags, sans=sans, within=within) == f"issued etcd-h1: {reason}"
    assert (tmp_path / "etcd-h1.pem").read_text() == before
    assert issue(tmp_path, *flags, sans=sans, within=within) == f"issued etcd-h1: {reason}"
    assert (tmp_path / "etcd-h1.pem").read_text() != before


def test_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    issue(tmp_path)
    (tmp_path / "ca.pem").unlink()
    (tmp_path / "ca-key.pem").unlink()
    other = tmp_path / "other"
    issue(other)
    for name in ("ca.pem", "ca-key.pem"):
        (tmp_path / name).write_bytes((other / name).read_bytes())
    assert issue(tmp_path) == "issued etcd-h1: another authority had signed it"


def test_authority_without_its_key_issues_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    issue(tmp_path)
    (tmp_path / "ca-key.pem").unlink()
    done = subprocess.run(
        ["sh", str(ISSUE), "--renew", str(tmp_path), "etcd-h1", SANS, "365", "3650", "30"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "give the certificates yourself" in done.stderr
    assert (tmp_path / "etcd-h1.pem").exists()


def revoke(directory: Path, *words: str) -> str:
    done = subprocess.run(
        ["sh", str(REVOKE), *words[:-1], str(directory), "3650", *words[-1:]],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


def _is_good(pki: Path, cert: Path, tmp_path: Path) -> bool:
    """Ask openssl, with the list as etcd is given it."""
    crl = tmp_path / "crl.pem"
    argv = ["openssl", "crl", "-inform", "DER", "-in", str(pki / "crl.der"), "-out", str(crl)]
    subprocess.run(argv, check=True, capture_output=True)
    argv = [
        "openssl",
        "verify",
        "-crl_check",
        "-CRLfile",
        str(crl),
        "-CAfile",
        str(pki / "ca.pem"),
        str(cert),
    ]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


def test_members_have_an_authority_of_their_own(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    issue(pki)
    subprocess.run(
        ["sh", str(ISSUE), "--ca", "peer-ca", str(pki), "peer-h1", SANS, "365", "3650", "30"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip

    def believes(authority: str, name: str) -> bool:
        argv = ["openssl", "verify", "-CAfile", str(pki / f"{authority}.pem"), str(pki / f"{name}.pem")]
        return subprocess.run(argv, check=False, capture_output=True).returncode == 0

    assert [believes(ca, name) for ca in ("ca", "peer-ca") for name in ("etcd-h1", "peer-h1")] == [
        True, False, False, True,
    ]  # fmt: skip


def test_revoked_certificate_is_listed_and_gone_and_another_is_issued_in_its_place(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    issue(pki)
    kept = tmp_path / "kept.pem"
    kept.write_bytes((pki / "etcd-h1.pem").read_bytes())
    assert revoke(pki, "h2-that-never-was") == "changed: made the list of revoked certificates"
    assert _is_good(pki, kept, tmp_path)
    assert revoke(pki, "--dry-run", "etcd-h1") == "changed: revoked etcd-h1"
    assert _is_good(pki, kept, tmp_path)
    assert revoke(pki, "etcd-h1") == "changed: revoked etcd-h1"
    assert not _is_good(pki, kept, tmp_path)
    assert sorted(path.name for path in pki.glob("etcd-h1*")) == []
    assert revoke(pki, "etcd-h1") == ""
    assert issue(pki) == "issued etcd-h1: there was none"
    assert _is_good(pki, pki / "etcd-h1.pem", tmp_path)
    assert revoke(pki, "etcd-h1") == "changed: revoked etcd-h1", "of the same name a second time"
    assert {path.stat().st_mode & 0o077 for path in pki.iterdir()} == {0}


def test_authority_of_somebody_else_is_given_no_list(tmp_path: Path) -> None:
    issue(tmp_path)
    (tmp_path / "ca-key.pem").unlink()
    assert revoke(tmp_path, "etcd-h1") == ""
    assert not (tmp_path / "crl.der").exists()
