"""The private key and the shared key of WireGuard: searched for in all that a host tells, in every form."""

from __future__ import annotations

import tarfile
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Host, flanpyctl
from tests.lab.conftest import BuildLab
from tests.lab.daemon_side import get
from tests.lab.overlay import assert_settled

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

PSK = b64encode(bytes(range(101, 133))).decode()
RESOURCES = ("status", "peers", "subnets", "events", "diff", "verdict", "mesh", "keys")
COMMANDS = (
    ("status",),
    ("status", "-o", "json"),
    ("peers", "-o", "json"),
    ("keys",),
    ("keys", "-o", "json"),
    ("subnets", "-o", "json"),
    ("network", "show"),
    ("network", "validate"),
    ("config", "show"),
    ("events", "-o", "json"),
    ("doctor", "-o", "json"),
    ("diff",),
    ("cleanup", "--dry-run"),
)


def _forms(key: str) -> set[bytes]:
    raw = b64decode(key)
    return {key.encode(), raw, raw.hex().encode(), key.encode().replace(b"/", b"\\/"), key[:40].encode()}


def _texts(host: Host, archive: Path) -> dict[str, bytes]:
    """All that the host tells, by where."""
    found = {"log": host.daemon.log_text(all_starts=True).encode(), "metrics": host.daemon.metrics().encode()}
    for name in RESOURCES:
        found[f"/v1/{name}"] = str(get(host.daemon.run_dir / "flanpyd.sock", f"/v1/{name}")).encode()
    for words in COMMANDS:
        done = host.run(*flanpyctl(), *words, check=False)
        found[" ".join(words)] = (done.stdout + done.stderr).encode()
    host.run(*flanpyctl(), "diag", "-f", str(archive), check=False)
    with tarfile.open(archive) as packed:
        for member in packed.getmembers():
            if (file := packed.extractfile(member)) is not None:
                found[f"diag {member.name}"] = file.read()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        found[str(path)] = path.read_bytes()
    return found


def test_no_secret_of_wireguard_is_told_anywhere(build_lab: BuildLab, tmp_path: Path) -> None:
    lab = build_lab(2)
    lab.configure({"Network": NETWORK, "Backend": {"Type": "wireguard", "PSK": PSK}})
    for host in lab.hosts:
        host.daemon.up("--log-level=debug")
    assert_settled(lab, deadline=30)
    host = lab.hosts[0]
    host.ip("link del flannel-wg")  # repairs are told of, too
    assert_settled(lab, deadline=30)
    bad = {"Network": NETWORK, "Backend": {"Type": "wiregard", "PSK": PSK}}
    lab.configure(bad)  # refused, and said so
    file = host.daemon.state_dir / "wgkey"
    former = file.read_text().strip()
    host.run(*flanpyctl(), "keys", "rotate")
    private = file.read_text().strip()
    assert private != former
    texts = _texts(host, tmp_path / "diag.tar.gz")
    assert len(texts) > 20, sorted(texts)
    secrets = {form for key in (former, private, PSK) for form in _forms(key)}
    assert {where for where, text in texts.items() if any(form in text for form in secrets)} == set()
    kept = {entry.key: entry.value for entry in lab.etcd.api.list(ETCD_PREFIX)}
    assert {key for key, value in kept.items() if PSK in value} == {
        f"{ETCD_PREFIX}/config"
    }  # the search sees
    assert not any(key in value for value in kept.values() for key in (former, private))
    assert _of_others(host) == []


def _of_others(host: Host) -> list[str]:
    """The files of the state directory that hold a secret and are open to others."""
    files = [path for path in host.daemon.state_dir.rglob("*") if path.is_file()]
    return [path.name for path in files if PSK.encode() in path.read_bytes() and path.stat().st_mode & 0o077]
