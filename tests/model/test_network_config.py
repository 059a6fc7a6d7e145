"""The text of `<prefix>/config`: flannel's rules, our errors."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flanpy.errors import ConfigError
from flanpy.model.network.config import parse_network_config, render_network_config


def test_network_config_fills_flannels_defaults_when_only_the_network_is_given() -> None:
    config = parse_network_config('{"Network":"172.18.0.0/16"}')
    assert config.network == IPv4Network("172.18.0.0/16")
    assert (config.subnet_len, config.backend_type, dict(config.backend_options)) == (24, "udp", {})
    assert config.subnet_min == IPv4Address("172.18.1.0")
    assert config.subnet_max == IPv4Address("172.18.255.0")
    assert config.network6 is None
    assert config.warnings == ()
    assert config.text == '{"Network":"172.18.0.0/16"}'


def test_network_config_matches_keys_and_type_whatever_their_case() -> None:
    text = b'{"NETWORK":"10.5.0.0/16","subnetlen":26,"backend":{"TYPE":"VXLAN","vni":7,"DirectRouting":true}}'
    config = parse_network_config(text)
    assert (config.subnet_len, config.backend_type) == (26, "vxlan")
    assert dict(config.backend_options) == {"vni": 7, "directrouting": True}


@pytest.mark.parametrize(
    ("network", "length"), [("10.0.0.0/8", 24), ("10.5.0.0/22", 24), ("10.5.0.0/23", 25), ("10.5.0.0/28", 30)]
)
def test_network_config_derives_the_subnet_length_when_none_is_given(network: str, length: int) -> None:
    assert parse_network_config(json.dumps({"Network": network})).subnet_len == length
    assert parse_network_config(json.dumps({"Network": network, "SubnetLen": 0})).subnet_len == length


@pytest.mark.parametrize(
    ("network", "length"), [("fd50::/48", 64), ("fd50::/62", 64), ("fd50::/63", 65), ("fd50::/124", 126)]
)
def test_network_config_derives_the_ipv6_subnet_length_when_none_is_given(network: str, length: int) -> None:
    config = parse_network_config(
        json.dumps({"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": network})
    )
    assert config.subnet_len6 == length
    assert config.network is None
    assert config.subnet_min is None


def test_network_config_reads_both_families_with_their_bounds() -> None:
    config = parse_network_config(
        json.dumps(
            {
                "Network": "10.50.0.0/16",
                "SubnetMin": "10.50.16.0",
                "SubnetMax": "10.50.31.0",
                "EnableIPv6": True,
                "IPv6Network": "fd50:1::/48",
                "IPv6SubnetMin": "fd50:1:0:10::",
                "IPv6SubnetMax": "fd50:1:0:1f::",
                "EnableNFTables": True,
                "Backend": {"Type": "vxlan"},
            }
        )
    )
    assert (config.subnet_min, config.subnet_max) == (IPv4Address("10.50.16.0"), IPv4Address("10.50.31.0"))
    assert config.network6 == IPv6Network("fd50:1::/48")
    assert (config.subnet_min6, config.subnet_max6) == (
        IPv6Address("fd50:1:0:10::"),
        IPv6Address("fd50:1:0:1f::"),
    )
    assert config.enable_nftables


def test_network_config_uses_the_first_subnet_only_when_subnet_min_says_so() -> None:
    config = parse_network_config('{"Network":"10.5.0.0/16","SubnetMin":"10.5.0.0"}')
    assert config.subnet_min == IPv4Address("10.5.0.0")


def test_network_config_masks_host_bits_and_says_so() -> None:
    config = parse_network_config('{"Network":"10.5.6.7/16"}')
    assert config.network == IPv4Network("10.5.0.0/16")
    assert config.warnings == ('Network "10.5.6.7/16" has host bits set; 10.5.0.0/16 is used',)


def test_network_config_warns_of_unknown_keys_naming_the_nearest() -> None:
    config = parse_network_config(
        '{"Network":"10.5.0.0/16","SubnetLenn":24,"comment":"x","IPv6Network":"fd::/48"}'
    )
    assert config.warnings == (
        'unknown key "subnetlenn" is ignored; did you mean SubnetLen?',
        'unknown key "comment" is ignored',
        "IPv6Network is ignored while EnableIPv6 is false",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no JSON"]),
        ("[1]", ["[1]", "no JSON object"]),
        ("null", ["null", "no JSON object"]),
        ('{"Network":"10.5.0.0/16"', ["no JSON"]),
        ('{"SubnetLen":24}', ["Network is missing"]),
        ('{"Network":null}', ["Network is missing"]),
        ('{"Network":"10.5.0.0"}', ["Network", '"10.5.0.0"', "CIDR"]),
        ('{"Network":"10.5.0.0/255.255.0.0"}', ["Network", "CIDR"]),
        ('{"Network":"fd50::/48"}', ["Network", "IPv4"]),
        ('{"Network":"0.0.0.0/0"}', ["Network", "all addresses"]),
        ('{"Network":16}', ["Network 16", "CIDR"]),
        ('{"Network":"10.5.0.0/29"}', ["Network", "four subnets", "10.5.0.0/28"]),
        ('{"Network":"10.5.0.0/16","network":"10.6.0.0/16"}', ["stands twice", '"Network"']),
        ('{"Network":"10.5.0.0/16","Network":"10.5.0.0/16"}', ["stands twice"]),
        ('{"Network":"10.5.0.0/16","Backend":{"Type":"udp","type":"vxlan"}}', ["stands twice"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":31}', ["SubnetLen 31", "at most 30", "nearest: 30"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":17}', ["SubnetLen 17", "at least 18", "nearest: 18"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":24.0}', ["SubnetLen 24.0", "whole number"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":"24"}', ['SubnetLen "24"', "whole number"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":true}', ["SubnetLen true", "whole number"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":-1}', ["SubnetLen -1", "whole number"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":NaN}', ["NaN"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":1e999}', ["SubnetLen", "whole number"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":' + "9" * 5000 + "}", ["network config"]),
        ('{"Network":"10.5.0.0/16","SubnetMin":"10.6.0.0"}', ["SubnetMin", "10.6.0.0", "10.5.0.0/16"]),
        (
            '{"Network":"10.5.0.0/16","SubnetMin":"10.5.1.7"}',
            ["SubnetMin", "base of a /24", "nearest: 10.5.1.0"],
        ),
        ('{"Network":"10.5.0.0/16","SubnetMax":"10.5.9.128"}', ["SubnetMax", "base of a /24"]),
        ('{"Network":"10.5.0.0/16","SubnetMax":7}', ["SubnetMax 7", "IPv4 address"]),
        (
            '{"Network":"10.5.0.0/16","SubnetMin":"10.5.9.0","SubnetMax":"10.5.8.0"}',
            ["SubnetMin", "10.5.9.0", "after SubnetMax 10.5.8.0"],
        ),
        ('{"Network":"10.5.0.0/16","EnableIPv4":false}', ["EnableIPv4", "nothing can be leased"]),
        ('{"Network":"10.5.0.0/16","EnableIPv4":"yes"}', ['EnableIPv4 "yes"', "true or false"]),
        ('{"Network":"10.5.0.0/16","EnableIPv6":true}', ["IPv6Network is missing"]),
        ('{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fe80::%1/48"}', ["IPv6Network"]),
        ('{"Network":"10.5.0.0/16","Backend":null}', ["Backend null", "object"]),
        ('{"Network":"10.5.0.0/16","Backend":{}}', ["Backend", "no Type"]),
        (
            '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlam"}}',
            ["Backend.Type", '"vxlam"', "nearest: vxlan"],
        ),
        ('{"Network":"10.5.0.0/16","Backend":{"Type":5}}', ["Backend.Type 5"]),
        ("[" * 200_000, ["nested too deeply"]),
        ('{"Network":"' + "1" * 300_000 + '"}', ["more than"]),
    ],
)
def test_network_config_is_refused_in_one_line_naming_field_and_rule_when_it_cannot_be_used(
    text: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_network_config(text)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
    assert len(message) < 400


def test_network_config_is_refused_when_it_is_not_utf8() -> None:
    with pytest.raises(ConfigError, match="byte 1 is not UTF-8"):
        parse_network_config(b'{\xff"Network":"10.5.0.0/16"}')


@pytest.mark.parametrize(
    "text",
    [
        '{"Network":"172.18.0.0/16"}',
        '{"Network":"10.5.0.0/16","SubnetLen":26,"SubnetMin":"10.5.0.64","Backend":{"type":"VXLAN","vni":3}}',
        '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd50::/48","Backend":{"Type":"host-gw"}}',
        '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd50::/48","EnableNFTables":true}',
    ],
)
def test_network_config_means_the_same_when_it_is_rendered_and_read_again(text: str) -> None:
    config = parse_network_config(text)
    again = parse_network_config(render_network_config(config))
    assert again.warnings == ()
    assert _meaning(again) == _meaning(config)


def test_network_config_renders_options_in_flannels_spelling() -> None:
    text = '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","vni":3,"directrouting":true}}'
    assert '"Backend": {"Type": "vxlan", "VNI": 3, "DirectRouting": true}' in render_network_config(
        parse_network_config(text)
    )


@given(st.binary(max_size=200))
def test_network_config_raises_nothing_but_config_error_on_any_bytes(text: bytes) -> None:
    _read(text)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("10.5.0.0/16"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_fields = st.sampled_from(
    [
        "Network",
        "SubnetLen",
        "SubnetMin",
        "SubnetMax",
        "EnableIPv4",
        "EnableIPv6",
        "IPv6Network",
        "Backend",
        "\ud800",
    ]
)


# The machine may be busy, and the first draw loads Unicode tables.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(_fields, _json, max_size=6))
def test_network_config_raises_nothing_but_config_error_on_any_json(document: dict[str, object]) -> None:
    _read(json.dumps({"Network": "10.5.0.0/16", **document}).encode())


@given(st.integers(1, 28), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_network_config_bounds_lie_on_subnets_inside_the_network_when_accepted(
    prefix: int, length: int, base: int
) -> None:
    try:
        config = parse_network_config(
            json.dumps({"Network": f"{IPv4Address(base)}/{prefix}", "SubnetLen": length})
        )
    except ConfigError:
        return
    assert config.network is not None
    for bound in (config.subnet_min, config.subnet_max):
        assert IPv4Network(f"{bound}/{config.subnet_len}").subnet_of(config.network)
    assert config.subnet_len >= config.network.prefixlen + 2


def _read(text: bytes) -> None:
    try:
        config = parse_network_config(text)
    except ConfigError as error:
        message = str(error)
    else:
        message = "" if config.network or config.network6 else "neither family\n"
    assert "\n" not in message


def _meaning(config: object) -> dict[str, object]:
    fields = {name: getattr(config, name) for name in config.__slots__ if name not in ("text", "warnings")}  # type: ignore[attr-defined]
    return {**fields, "backend_options": dict(fields["backend_options"])}


def test_backend_option_that_the_backend_does_not_know_is_named_as_written_with_the_nearest() -> None:
    config = parse_network_config(
        '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","DirectRoutng":true,"vni":3,"Zeta":1}}'
    )
    assert config.warnings == (
        'vxlan has no option "DirectRoutng", it is ignored; did you mean DirectRouting?',
        'vxlan has no option "Zeta", it is ignored',
    )
    assert '"DirectRoutng": true' in render_network_config(config)
    assert '"VNI": 3' in render_network_config(config)
