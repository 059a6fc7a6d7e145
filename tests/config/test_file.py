"""The settings file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from flanpy.config import Settings, load
from flanpy.config.option import Option
from flanpy.config.options import OPTIONS
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
        ("[log]\nlevel = { a = 1 }", ["log-level", "a string", "a table"]),
        ("etcd-endpoints = 5", ["flanpyd.toml:1", "etcd-endpoints takes a string or a list", "whole number: 5"]),
        ("etcd-endpoints = ['http://a:1', 5]", ["etcd-endpoints", "whole number: 5"]),
        ("ip-masq = 1", ["ip-masq takes true or false", "whole number: 1"]),
        ("healthz-port = true", ["healthz-port takes a whole number", "true or false: True"]),
        ("healthz-port = 80.0", ["healthz-port", "a number: 80.0"]),
        ("resync-interval = [1]", ["resync-interval takes a whole number or a number", "a list"]),
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


def _wrong_values(option: Option) -> list[str]:
    """TOML values of every type that the option does not take."""
    values = {bool: "true", int: "7", float: "7.5", list: "[[1]]", dict: "{ a = 1 }", date: "2026-01-01"}
    return [text for kind, text in values.items() if kind not in option.kind.typed]


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.in_file], ids=lambda option: option.name)
def test_value_of_a_wrong_type_is_refused_for_every_option(tmp_path: Path, option: Option) -> None:
    for value in _wrong_values(option):
        with pytest.raises(ConfigError) as caught:
            _from(tmp_path, f"[{option.group}]\n{option.name} = {value}")
        assert "\n" not in str(caught.value)
        assert f"flanpyd.toml:2: {option.name} takes" in str(caught.value)


def test_password_of_a_wrong_type_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _from(tmp_path, "[etcd]\npassword = 4711")
    assert "4711" not in str(caught.value)
