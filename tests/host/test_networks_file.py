"""The named networks of a host on disk."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

import pytest

from flanpy.host import networks_file
from flanpy.host.networks_file import SavedNetworks
from flanpy.model.networks.view import Joined
from tests.model.test_named_networks import SHOP

SAVED = SavedNetworks(
    "node-1",
    (Joined(SHOP, IPv4Network("10.96.3.0/24"), (IPv4Address("192.0.2.2"), IPv6Address("2001:db8::2"))),),
    ("fb-10001",),
)


def test_file_is_read_as_it_was_written_and_written_once(tmp_path: Path) -> None:
    assert networks_file.load(tmp_path) is None
    assert networks_file.save(tmp_path, SAVED)
    assert networks_file.load(tmp_path) == SAVED
    assert not networks_file.save(tmp_path, SAVED)


@pytest.mark.parametrize(
    "junk", [b"", b"[]", b"\xff", b'{"NodeID":1,"Networks":[{}],"Missing":[]}', b"[" * 9999]
)
def test_odd_file_is_none(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / networks_file.FILE_NAME).write_bytes(junk)
    assert networks_file.load(tmp_path) is None


def test_slice_outside_the_subnet_is_not_believed(tmp_path: Path) -> None:
    networks_file.save(tmp_path, SAVED)
    file = tmp_path / networks_file.FILE_NAME
    file.write_text(file.read_text().replace("10.96.3.0/24", "10.99.3.0/24"))
    assert networks_file.load(tmp_path) is None
