"""The lease on disk: P25, a host boots with its subnet, and nothing odd on disk stops it."""

from __future__ import annotations

import dataclasses
import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.errors import HostError
from flanpy.host import state_file
from flanpy.host.absent import Absent
from flanpy.host.state_file import SavedLease, forget, load, save
from flanpy.model.lease import SubnetKey

LEASE = SavedLease(
    key=SubnetKey(IPv4Network("10.50.75.0/24"), IPv6Network("fd50:1:0:4c::/64")),
    lease_id=7587895012345678901,
    revision=42,
    node_id="h1",
    network_config='{"Network": "10.50.0.0/16"}',
    public_ip=IPv4Address("192.0.2.7"),
    public_ip6=IPv6Address("2001:db8::7"),
    saved_at=1_700_000_000.25,
    newest=(("10.50.76.0-24", '{"PublicIP":"192.0.2.8","PublicIPv6":null}'),),
)


def test_p25_saved_lease_is_found_again_by_its_node(tmp_path: Path) -> None:
    assert save(tmp_path / "new", LEASE)
    assert not save(tmp_path / "new", LEASE)
    assert load(tmp_path / "new", node_id="h1") == LEASE


def test_saved_lease_of_one_family_is_found_again(tmp_path: Path) -> None:
    lease = dataclasses.replace(LEASE, key=SubnetKey(IPv4Network("10.1.0.0/24")), public_ip6=None)
    save(tmp_path, lease)
    assert load(tmp_path, node_id="h1") == lease


def test_p25_lease_of_a_copied_disk_is_absent_and_both_nodes_are_named(tmp_path: Path) -> None:
    save(tmp_path, LEASE)
    found = load(tmp_path, node_id="h2")
    assert isinstance(found, Absent)
    assert "'h1'" in found.reason
    assert "'h2'" in found.reason


def test_missing_file_is_absent_without_a_reason(tmp_path: Path) -> None:
    assert load(tmp_path, node_id="h1") == Absent()


def _document() -> dict[str, Any]:
    return {
        "version": 1, "subnet": "10.50.75.0/24", "subnet6": None, "lease_id": 1, "revision": 1, "node_id": "h1",
        "network_config": "{}", "public_ip": None, "public_ip6": None, "saved_at": 1.0,
    }  # fmt: skip


def test_document_of_version_1_stays_readable(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_text(json.dumps(_document()))
    found = load(tmp_path, node_id="h1")
    assert isinstance(found, SavedLease)
    assert found.key == SubnetKey(IPv4Network("10.50.75.0/24"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "version 2 is not 1"),
        ({"version": None}, "version None"),
        ({"subnet": None}, "no subnet"),
        ({"subnet": "10.50.75.1/24"}, "host bits"),
        ({"subnet": 5}, "subnet 5 is no str"),
        ({"lease_id": "x"}, "lease_id 'x' is no int"),
        ({"lease_id": True}, "lease_id True"),
        ({"node_id": None}, "node_id None"),
        ({"public_ip": "fd00::1"}, "fd00::1"),
        ({"saved_at": "soon"}, "soon"),
        ({"saved_at": []}, "float"),
    ],
)
def test_document_with_a_wrong_field_is_absent_and_the_field_is_named(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    (tmp_path / "lease.json").write_text(json.dumps(_document() | change))
    found = load(tmp_path, node_id="h1")
    assert isinstance(found, Absent)
    assert reason in found.reason


@pytest.mark.parametrize("left_out", _document())
def test_document_with_a_missing_field_is_absent(tmp_path: Path, left_out: str) -> None:
    (tmp_path / "lease.json").write_text(json.dumps({k: v for k, v in _document().items() if k != left_out}))
    assert isinstance(load(tmp_path, node_id="h1"), Absent)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b"{}" * 9, b" " * (2 << 20)]
)
def test_junk_is_absent_with_a_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lease.json").write_bytes(content)
    found = load(tmp_path, node_id="h1")
    assert isinstance(found, Absent)
    assert str(tmp_path) in found.reason
    assert "\n" not in found.reason


@given(cut=st.integers(0, 400), flip=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_file_never_raises(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, byte: int
) -> None:
    directory = tmp_path_factory.mktemp("state")
    save(directory, LEASE)
    path = directory / "lease.json"
    content = bytearray(path.read_bytes())
    content[flip % len(content)] = byte
    path.write_bytes(content[: max(0, len(content) - cut)])
    assert isinstance(load(directory, node_id="h1"), Absent | SavedLease)


def test_file_is_only_for_its_owner(tmp_path: Path) -> None:
    save(tmp_path, LEASE)
    assert (tmp_path / state_file.FILE_NAME).stat().st_mode & 0o7777 == 0o600


def test_forgotten_lease_is_absent_and_may_be_forgotten_twice(tmp_path: Path) -> None:
    save(tmp_path, LEASE)
    forget(tmp_path)
    forget(tmp_path)
    assert load(tmp_path, node_id="h1") == Absent()


def test_forget_names_the_path_when_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "lease.json").mkdir()
    with pytest.raises(HostError, match="cannot remove"):
        forget(tmp_path)
