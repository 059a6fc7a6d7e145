"""Link-layer addresses and families."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.address import Family, Mac


@given(st.binary(min_size=6, max_size=6))
def test_mac_is_read_back_from_its_text(packed: bytes) -> None:
    assert Mac.parse(str(Mac(packed))) == Mac(packed)


@pytest.mark.parametrize(
    "text",
    ["", "02:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-01", "020000000001", "02:00:00:00:00:01 "],
)
def test_what_is_no_mac_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="no MAC address"):
        Mac.parse(text)


def test_mac_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="6 bytes, not 8"):
        Mac(bytes(8))


@pytest.mark.parametrize(
    ("text", "unicast"),
    [
        ("02:00:00:00:00:01", True),
        ("42:84:f6:70:e1:f3", True),
        ("00:00:00:00:00:00", False),
        ("ff:ff:ff:ff:ff:ff", False),
        ("01:00:5e:00:00:01", False),
        ("33:33:00:00:00:01", False),
    ],
)
def test_only_a_station_address_is_unicast(text: str, *, unicast: bool) -> None:
    assert Mac.parse(text).is_unicast is unicast


@pytest.mark.parametrize("make", [ip_address, ip_network, ip_interface])
def test_family_is_told_from_any_kind_of_address(make: object) -> None:
    assert Family.of(make("10.0.0.1")) is Family.IPV4  # type: ignore[operator]
    assert Family.of(make("fd00::1")) is Family.IPV6  # type: ignore[operator]
    assert (Family.IPV4.bits, Family.IPV6.bits) == (32, 128)
