"""`flanpyctl diag`: what is in the archive, and above all what is not."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from flanpy.cli.repair.secrets import scrubbed, without_secrets
from tests.cli.conftest import Ctl, Ended
from tests.cli.looks import EVENTS, MESH, PEERS
from tests.cli.stand_in import STATUS, StandIn

PLANTED = {
    "etcd": "swordfish-etcd-1",
    "proxy": "swordfish-proxy-2",
    "registry": "c3dvcmRmaXNoLXJlZ2lzdHJ5LTM=",
    "token": "swordfish-token-4",
    "journal": "swordfish-journal-5",
    "option": "swordfish-option-6",
    "key": "MHcCAQEEIswordfishkey7",
}

DAEMON_JSON = {
    "bip": "10.50.1.1/24",
    "auths": {"registry.example": {"auth": PLANTED["registry"]}},
    "proxies": {"http-proxy": f"http://user:{PLANTED['proxy']}@proxy.example:3128"},
    "log-opts": {"splunk-token": PLANTED["token"]},
}


@pytest.fixture
def planted(ctl: Ctl, daemon: StandIn, monkeypatch: pytest.MonkeyPatch) -> Ctl:
    """Secrets wherever a careless operator, or a careless program, may have put them."""
    monkeypatch.setenv("FLANPYD_ETCD_USERNAME", "root")
    monkeypatch.setenv("FLANPYD_ETCD_PASSWORD", PLANTED["etcd"])
    path = ctl.run_dir / "daemon.json"
    path.write_text(json.dumps(DAEMON_JSON))
    monkeypatch.setenv("FLANPYD_DOCKER_CONFIG_FILE", str(path))
    key = f"-----BEGIN EC PRIVATE KEY-----\n{PLANTED['key']}\n-----END EC PRIVATE KEY-----\n"
    (ctl.run_dir / "subnet.env").write_text(
        f"FLANNEL_SUBNET=10.50.1.1/24\nMY_API_KEY={PLANTED['token']}\n{key}"
    )
    text = json.dumps({"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "PSK": PLANTED["option"]}})
    daemon.answers |= {
        "status": {**STATUS, "network": {**STATUS["network"], "text": text}},
        "peers": PEERS,
        "events": {"events": [{**EVENTS["events"][0], "why": f"etcd said no to {PLANTED['etcd']}"}]},
        "mesh": MESH,
    }
    return ctl


def _bundle(ctl: Ctl, path: Path) -> tuple[Ended, dict[str, str]]:
    ended = ctl("diag", "-f", str(path))
    with tarfile.open(path) as archive:
        return ended, {
            member.name.partition("/")[2]: _text(archive, member) for member in archive.getmembers()
        }


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode()


def test_diag_holds_no_secret_wherever_it_was_planted(planted: Ctl, tmp_path: Path) -> None:
    ended, files = _bundle(planted, tmp_path / "d.tar.gz")
    everything = "\n".join(files.values()) + ended.out + ended.err
    assert [name for name, secret in PLANTED.items() if secret in everything] == []
    assert "swordfish" not in everything


def test_diag_keeps_what_is_no_secret(planted: Ctl, tmp_path: Path) -> None:
    _, files = _bundle(planted, tmp_path / "d.tar.gz")
    assert json.loads(files["peers.json"]) == PEERS
    assert json.loads(files["status.json"])["own"]["subnet"] == "10.50.1.0/24"
    assert json.loads(files["files/daemon.json"])["bip"] == "10.50.1.1/24"
    assert "proxy.example:3128" in files["files/daemon.json"]
    assert "FLANNEL_SUBNET=10.50.1.1/24" in files["files/subnet.env"]
    assert "net.ipv4.ip_forward = " in files["sysctls.txt"]
    assert "kernel " in files["versions.txt"]
    assert "lo:" in files["kernel/links.txt"]


def test_diag_is_readable_by_its_owner_only_even_over_a_file_that_was_open_to_all(
    ctl: Ctl, tmp_path: Path
) -> None:
    path = tmp_path / "d.tar.gz"
    path.touch(0o666)
    _bundle(ctl, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        assert {member.mode for member in archive.getmembers()} == {0o600}


def test_diag_follows_no_link_that_somebody_left_there(ctl: Ctl, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "d.tar.gz").symlink_to(victim)
    ended = ctl("diag", "-f", str(tmp_path / "d.tar.gz"))
    assert ended.code == 1
    assert victim.read_text() == "precious"


def test_diag_works_without_a_daemon_and_lists_what_is_missing(ctl: Ctl, tmp_path: Path) -> None:
    ended, files = _bundle(ctl, tmp_path / "d.tar.gz")
    assert ended.code == 0
    assert "missing: status.json: no flanpyd listens on" in ended.err
    assert files["missing.txt"].startswith("status.json: no flanpyd listens on")
    assert json.loads(files["config.json"])[0]["name"] == "etcd-endpoints"
    assert json.loads(files["doctor.json"])["checked"]


def test_diag_names_its_file_after_host_and_time(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    assert ctl("diag").out == "flanpy-diag-node-1-20270115T080000Z.tar.gz\n"
    assert (tmp_path / "flanpy-diag-node-1-20270115T080000Z.tar.gz").exists()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("etcd-password = 'sesame'", "etcd-password = "),
        ('ETCD_PASSWORD="sesame x"', "ETCD_PASSWORD="),
        ("flanpyd --etcd-password sesame --iface eth0", "--iface eth0"),
        ("flanpyd --etcd-password=sesame --iface eth0", "--iface eth0"),
        ('{"a": 1, "auth": "sesame", "b": 2}', '"b": 2'),
        ('{"text": "{\\"psk\\":\\"sesame\\",\\"b\\":2}"}', '\\"b\\":2'),
        ("Authorization: Bearer sesame.x", "Authorization"),
        ("https://root:sesame@etcd.example:2379", "etcd.example:2379"),
        ("token: sesame", "token: "),
        ('{"why": "ran with token=\\"sesame\\" x"}', ' x"}'),
        ("-----BEGIN PRIVATE KEY-----\nsesame", ""),
    ],
)  # fmt: skip
def test_without_secrets_masks_by_key_and_by_form(text: str, kept: str) -> None:
    masked = without_secrets(text)
    assert "sesame" not in masked
    assert kept in masked


def test_without_secrets_leaves_ordinary_text_alone() -> None:
    text = 'route 10.50.2.0/24 via 10.50.2.0 dev flannel.1 proto 70\n{"subnet": "10.50.2.0/24", "key": "10.50.2.0-24"}'
    assert without_secrets(text, known=("",)) == text


@pytest.mark.parametrize("value", ["sesame", ["sesame"], {"a": {"b": "sesame"}}, 12345])
def test_scrubbed_masks_all_that_stands_below_a_secret_key(value: Any) -> None:
    said = scrubbed({"list": [{"registry-auths": value, "name": "x"}]})
    assert said == {"list": [{"registry-auths": "********", "name": "x"}]}
