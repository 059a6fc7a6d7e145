"""Checksums of the artefacts and their signature, by the commands of the page on verifying."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from integration.net.claim import PROJECT_ROOT
from integration.pages import commands

VERIFY, SIGN = (block.text for block in commands((PROJECT_ROOT / "docs/howto/verify.md").read_text()))
SCRIPT = PROJECT_ROOT / "deploy/checksums.sh"
ARTEFACTS = (
    "flanpy_1.0_amd64.deb",
    "flanpy-1.0-1.x86_64.rpm",
    "flanpy-image-1.0-amd64.tar.gz",
    "flanpyctl-1.0-cp311-x86_64.pyz",
)


def _typed(directory: Path, block: str) -> subprocess.CompletedProcess[str]:
    """Type a block in the directory of the artefacts, where `make checksums` is the script that it calls."""
    text = block.replace("make checksums", f"sh {SCRIPT} {directory}")
    environment = {**os.environ, "PWD": str(directory)}
    return subprocess.run(
        ["sh", "-ec", text],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    for name in ARTEFACTS:
        (tmp_path / name).write_text(name)
    (tmp_path / "notes.txt").write_text("no artefact")
    done = _typed(tmp_path, SIGN)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_release_is_verified_by_what_the_page_says(signed: Path) -> None:
    listed = [line.split("  ")[1] for line in (signed / "SHA256SUMS").read_text().splitlines()]
    assert sorted(listed) == sorted(ARTEFACTS)
    (signed / ARTEFACTS[1]).unlink()  # nobody downloads everything
    done = _typed(signed, VERIFY)
    assert done.returncode == 0, done.stderr
    assert 'Good "flanpy" signature' in done.stdout
    assert f"{ARTEFACTS[0]}: OK" in done.stdout


@pytest.mark.parametrize("changed", [ARTEFACTS[0], "SHA256SUMS", "allowed_signers"])
def test_anything_changed_is_found(signed: Path, changed: str) -> None:
    other = "flanpy ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
    path = signed / changed
    path.write_text(other if changed == "allowed_signers" else path.read_text() + "x")
    assert _typed(signed, VERIFY).returncode != 0


def test_checksums_without_a_key_are_not_signed_and_an_older_signature_goes(signed: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "SIGNING_KEY"}
    done = subprocess.run(
        ["sh", str(SCRIPT), str(signed)], env=plain, capture_output=True, text=True, check=True
    )
    assert "not signed" in done.stderr
    assert not (signed / "SHA256SUMS.sig").exists()


def test_checksums_of_nothing_are_refused_by_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(["sh", str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run 'make deb'" in done.stderr
