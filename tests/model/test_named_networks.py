"""Definitions of named networks: what is read back as it was written, and one clear error for each bad value."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.errors import ConfigError
from flanpy.model.networks.definition import (
    NamedNetwork,
    parse_definition,
    parse_subnet,
    render_definition,
    usual_slice_len,
)

SHOP = NamedNetwork(
    name="shop",
    id="a1",
    subnet=IPv4Network("10.96.0.0/16"),
    slice_len=24,
    vni=10_001,
    created="2026-11-30T14:00:00Z",
)


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(render_definition(SHOP)), **values}).encode()


def test_definition_is_read_as_it_was_written() -> None:
    assert parse_definition("shop", render_definition(SHOP)) == SHOP
    assert SHOP.slices == 256
    ported = replace(SHOP, port=4789)
    assert parse_definition("shop", render_definition(ported)) == ported


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("-shop", render_definition(SHOP), "name '-shop' of the network is none that Docker takes"),
        ("a b", render_definition(SHOP), "name 'a b'"),
        ("x" * 64, render_definition(SHOP), "is none that Docker takes"),
        ("bridge", render_definition(SHOP), "Docker's own"),
        ("shop", changed(Subnet="10.96.0.1/16"), "has host bits set"),
        ("shop", changed(Subnet="fd00::/64"), "no IPv4 range"),
        ("shop", changed(Subnet="0.0.0.0/0"), "is wider than a /8"),
        ("shop", changed(Subnet="127.0.0.0/16"), "no container may have"),
        ("shop", changed(SliceLen=16), "slice size 16"),
        ("shop", changed(SliceLen=30), "at most /29"),
        ("shop", changed(SliceLen=29), "more than 4096 slices"),
        ("shop", changed(VNI=0), "VNI 0"),
        ("shop", changed(VNI=1 << 24), "VNI 16777216"),
        ("shop", changed(VNI=True), "VNI True is no int"),
        ("shop", changed(MTU=500), "MTU 500"),
        ("shop", changed(Port=1 << 16), "port 65536"),
        ("shop", changed(Port=-1), "port -1"),
        ("shop", changed(Port="8472"), "Port '8472' is no int"),
        ("shop", changed(ID=""), "no identity"),
        ("shop", changed(Internal="yes"), "Internal 'yes' is no bool"),
        ("shop", b"[]", "cannot be read"),
        ("shop", b"\xff", "cannot be read"),
        ("shop", b"[" * 5000, "cannot be read"),
        ("shop", b" " * 70_000, "are more than"),
    ],
)
def test_definition_is_refused_in_one_line(name: str, value: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=r".") as refused:
        parse_definition(name, value)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_config_error(value: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_definition("shop", value)


@pytest.mark.parametrize("text", ["", "10.96.0.0/33", "10.96.0.0/16/2", "ten", "10.96.0.1/16"])
def test_text_that_is_no_subnet_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write 10\.96\.0\.0/16"):
        parse_subnet(text)


@pytest.mark.parametrize(("length", "usual"), [(8, 24), (16, 24), (20, 24), (22, 26), (26, 29), (28, 29)])
def test_usual_slices_fit_the_subnet(length: int, usual: int) -> None:
    assert usual_slice_len(IPv4Network((0x0A000000, length))) == usual
