"""The table of options agrees with the shape of the settings, with flannel's names, and with all made from it."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest

from flanpy import __version__
from flanpy.config import Settings, answer, help_text, load
from flanpy.config.arguments import add_arguments, flags_of
from flanpy.config.option import DEFAULTS, Option
from flanpy.config.options import GROUPS, OPTIONS
from flanpy.errors import UsageError

FLANNEL = [
    "etcd-endpoints",
    "etcd-prefix",
    "etcd-keyfile",
    "etcd-certfile",
    "etcd-cafile",
    "etcd-username",
    "etcd-password",
    "iface",
    "iface-regex",
    "iface-can-reach",
    "subnet-file",
    "public-ip",
    "public-ipv6",
    "subnet-lease-renew-margin",
    "ip-masq",
    "ip-masq-fully-random-disable",
    "healthz-ip",
    "healthz-port",
    "iptables-resync",
    "iptables-forward-rules",
    "ip-blackhole-route",
]


def _fields(settings: object, prefix: str = "") -> list[str]:
    found: list[str] = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        grouped = any(option.field.startswith(f"{field.name}.") for option in OPTIONS)
        nested = not prefix and dataclasses.is_dataclass(value) and grouped
        found += _fields(value, f"{field.name}.") if nested else [prefix + field.name]
    return found


def test_every_field_of_the_settings_has_one_option() -> None:
    fields = [name for name in _fields(Settings()) if name not in {"origins", "warnings"}]
    assert sorted(option.field for option in OPTIONS) == sorted(fields)


def test_table_has_flannels_names_and_marks_the_others_as_ours() -> None:
    assert sorted(option.name for option in OPTIONS if not option.own) == sorted(FLANNEL)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_default_survives_a_round_trip_through_its_text(option: Option) -> None:
    text = option.kind.render(option.default)
    assert not text or option.kind.parse((text,)) == option.default


def test_groups_of_the_table_are_all_known() -> None:
    assert {option.group for option in OPTIONS} == set(GROUPS)


def test_help_names_every_option_and_fits_the_terminal() -> None:
    text = help_text()
    assert [option.name for option in OPTIONS if f"  --{option.name}" not in text] == []
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["-help"], ["--iface=eth0", "--help", "--nonsense"]])
def test_help_is_answered_wherever_it_stands(argv: list[str]) -> None:
    assert answer(argv) == help_text()


@pytest.mark.parametrize("argv", [["--version"], ["-version"], ["-version=true"]])
def test_version_is_answered(argv: list[str]) -> None:
    assert answer(argv) == f"flanpyd {__version__}\n"


def test_nothing_is_answered_when_neither_was_asked() -> None:
    assert answer(["--iface=eth0", "--version=false"]) is None
    assert answer(["--node-id", "--help"]) is None


def test_mistake_before_help_is_still_a_mistake() -> None:
    with pytest.raises(UsageError):
        answer(["--nonsense", "--help"])


def test_argparse_takes_options_of_the_table_and_hands_them_to_load() -> None:
    parser, names = argparse.ArgumentParser(), ("etcd-endpoints", "iface", "ip-masq")
    add_arguments(parser, names)
    given = parser.parse_args(["--etcd-endpoints", "http://a", "--iface=x", "--iface=y", "--ip-masq"])
    settings = load(flags_of(given, names), {}, default_file=Path("/nonexistent"))
    assert settings.etcd.endpoints == ("http://a:2379",)
    assert settings.underlay.iface == ("x", "y")
    assert settings.filter.ip_masq
    assert flags_of(parser.parse_args([]), names) == []


def test_defaults_are_those_of_the_settings() -> None:
    assert Settings() == DEFAULTS
