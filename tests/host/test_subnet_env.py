"""subnet.env, against flannel's bytes and against what people put into files."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.host import subnet_env
from flanpy.host.absent import Absent
from flanpy.host.subnet_env import SubnetEnv, parse, read, write

V4 = SubnetEnv(network=IPv4Network("10.50.0.0/16"), subnet=IPv4Network("10.50.75.0/24"), mtu=1450)
DUAL = SubnetEnv(
    network=IPv4Network("10.50.0.0/16"),
    subnet=IPv4Network("10.50.75.0/24"),
    ipv6_network=IPv6Network("fd50:1::/48"),
    ipv6_subnet=IPv6Network("fd50:1:0:4c::/64"),
    mtu=1430,
    ipmasq=True,
)
V4_TEXT = (
    "FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.75.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
)
DUAL_TEXT = (
    "FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.75.1/24\n"
    "FLANNEL_IPV6_NETWORK=fd50:1::/48\nFLANNEL_IPV6_SUBNET=fd50:1:0:4c::1/64\n"
    "FLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n"
)
V6 = SubnetEnv(
    network=None, subnet=None, ipv6_network=DUAL.ipv6_network, ipv6_subnet=DUAL.ipv6_subnet, mtu=1430
)


@pytest.mark.parametrize(("env", "text"), [(V4, V4_TEXT), (DUAL, DUAL_TEXT)])
def test_text_is_flannels_byte_for_byte(env: SubnetEnv, text: str) -> None:
    assert str(env) == text
    assert parse(text) == env


def test_text_has_no_lines_of_a_family_that_is_off() -> None:
    assert str(V6).startswith("FLANNEL_IPV6_NETWORK=")
    assert parse(str(V6)) == V6


def _networks4() -> st.SearchStrategy[IPv4Network]:
    return st.builds(
        lambda address, length: IPv4Network((int(address), length), strict=False),
        st.integers(0, 2**32 - 1).map(IPv4Address),
        st.integers(8, 30),
    )


def _networks6() -> st.SearchStrategy[IPv6Network]:
    return st.builds(
        lambda address, length: IPv6Network((int(address), length), strict=False),
        st.integers(0, 2**128 - 1).map(IPv6Address),
        st.integers(8, 126),
    )


@given(
    _networks4(),
    _networks4(),
    st.none() | st.tuples(_networks6(), _networks6()),
    st.integers(0, 65535),
    st.booleans(),
)
def test_any_overlay_survives_the_round_trip(
    network: IPv4Network,
    subnet: IPv4Network,
    six: tuple[IPv6Network, IPv6Network] | None,
    mtu: int,
    ipmasq: bool,
) -> None:
    network6, subnet6 = six or (None, None)
    env = SubnetEnv(
        network=network, subnet=subnet, ipv6_network=network6, ipv6_subnet=subnet6, mtu=mtu, ipmasq=ipmasq
    )
    assert parse(str(env)) == env


@pytest.mark.parametrize(
    "text",
    [
        V4_TEXT.replace("\n", "\r\n"),
        "# by hand\n" + "".join(f"export {line}  # note\n" for line in V4_TEXT.splitlines()),
        "".join(f"{name}='{value}'\n" for name, value in (line.split("=") for line in V4_TEXT.splitlines())),
        "".join(f'{name}="{value}"\n' for name, value in (line.split("=") for line in V4_TEXT.splitlines())),
        "junk\n=x\nDOCKER_OPTS=\"--mtu=1\nFLANNEL_OTHER=1\n" + V4_TEXT,
        V4_TEXT.replace("10.50.0.0/16", "10.50.3.4/16"),
    ],
)  # fmt: skip
def test_reader_understands_what_a_shell_would(text: str) -> None:
    assert parse(text) == V4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no network and subnet"),
        ("\x00\xff{}", "no network and subnet"),
        ("FLANNEL_SUBNET=10.50.75.1/24\n", "no network and subnet"),
        (V4_TEXT.replace("10.50.75.1", "10.50.755.1"), "10.50.755.1"),
        (V4_TEXT.replace("1450", "big"), "big"),
        (V4_TEXT.replace("10.50.75.1/24", "fd50::1/64"), "fd50::1"),
    ],
)
def test_reader_says_why_a_file_counts_as_absent(text: str, reason: str) -> None:
    found = parse(text)
    assert isinstance(found, Absent)
    assert reason in found.reason


@given(st.text(max_size=200))
def test_reader_never_raises_whatever_the_file_holds(text: str) -> None:
    assert isinstance(parse(f"FLANNEL_NETWORK={text}\nFLANNEL_SUBNET={text}"), Absent | SubnetEnv)


def test_file_is_written_readable_for_all_and_a_shell_can_source_it(tmp_path: Path) -> None:
    path = tmp_path / "flannel" / "subnet.env"
    assert write(path, DUAL)
    assert not write(path, DUAL)
    assert path.stat().st_mode & 0o7777 == 0o644
    shell = ["sh", "-c", f". {path}; echo $FLANNEL_SUBNET $FLANNEL_IPMASQ"]
    assert subprocess.run(shell, capture_output=True, text=True, check=True).stdout == "10.50.75.1/24 true\n"
    assert read(path) == DUAL


def test_missing_file_is_absent_without_a_reason_and_a_directory_with_one(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == Absent()
    found = subnet_env.read(tmp_path)
    assert isinstance(found, Absent)
    assert "directory" in found.reason


def test_bytes_that_are_no_text_are_absent(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xff\xfe\x00")
    assert isinstance(read(tmp_path / "f"), Absent)
