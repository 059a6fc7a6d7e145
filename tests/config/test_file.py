"""The settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from flanpy.config import Settings, load
from flanpy.errors import ConfigError


def _from(tmp_path: Path, text: str | bytes) -> Settings:
    file = tmp_path / "flanpyd.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(["--config", str(file)], {})


def test_file_may_group_keys_in_sections_and_use_typed_values(tmp_path: Path) -> None:
    settings = _from(
        tmp_path,
        """
        node_id = "h1"
        [etcd]
        endpoints = ["http://a:1", "http://b"]   # short name
        etcd-prefix = "/p"                       # full name
        [underlay]
        iface = ["eth0", "eth1"]
        [listen]
        healthz-port = 8471
        [filter]
        ip-masq = true
        [subnet]
        lease-ttl = 3600
        lease_renew_margin = 2.5
        """,
    )
    assert settings.etcd.endpoints == ("http://a:1", "http://b:2379")
    assert settings.etcd.prefix == "/p"
    assert settings.underlay.iface == ("eth0", "eth1")
    assert settings.listen.healthz_port == 8471
    assert settings.filter.ip_masq
    assert (settings.subnet_lease_ttl, settings.subnet_lease_renew_margin) == (3600, 150.0)
    assert settings.config == tmp_path / "flanpyd.toml"
    assert settings.origins["etcd-endpoints"].where == f"{settings.config}:4"
    assert settings.origins["ip-masq"].where == f"{settings.config}:11"


def test_named_file_in_the_environment_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("log-level = 'debug'")
    assert load([], {"FLANPYD_CONFIG": str(tmp_path / "x.toml")}).log.level == "debug"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("etcd-prefx = '/a'", ["flanpyd.toml:1", "'etcd-prefx'", "did you mean 'etcd-prefix'"]),
        ("\n[etcd]\nendpoint = 'a'", ["flanpyd.toml:3", "'endpoint'", "did you mean"]),
        ("[etc]\nprefix = '/a'", ["'[etc]'", "did you mean '[etcd]'"]),
        ("config = '/x'", ["'config'"]),
        ("iface = {a = 1}", ["'[iface]'"]),
        ("etcd-prefix = '/a'\n[etcd]\nprefix = '/b'", ["toml:3", "etcd-prefix a second time", "toml:1"]),
        ("etcd-prefix = 2026-01-01", ["etcd-prefix", "date"]),
        ("etcd-prefix = ['/a']", ["etcd-prefix", "list"]),
        ("[log]\nlevel = { a = 1 }", ["log-level", "dict"]),
        ("log-level = 'debg'", ["file", "flanpyd.toml:1", "'debg'", "did you mean 'debug'"]),
        ("log-level = ", ["not TOML"]),
        ("log-level = 'a'\nlog-level = 'b'", ["not TOML"]),
        (b"node-id = '\xff'", ["not TOML"]),
    ],
)  # fmt: skip
def test_wrong_file_is_named_with_line_value_and_the_nearest_key(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        _from(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert [part for part in parts if part not in str(caught.value)] == []


def test_directory_in_place_of_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load([], {}, default_file=tmp_path)


def test_password_in_a_file_that_all_can_read_gets_a_warning(tmp_path: Path) -> None:
    text = "[etcd]\nusername = 'u'\npassword = 'p'"
    warned = _from(tmp_path, text)
    assert any("chmod" in line for line in warned.warnings)
    (tmp_path / "flanpyd.toml").chmod(0o600)
    assert not any(
        "chmod" in line for line in load(["--config", str(tmp_path / "flanpyd.toml")], {}).warnings
    )
