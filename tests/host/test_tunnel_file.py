"""The tunnel's table on disk: what was saved is read, and what is odd is nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from flanpy.errors import HostError
from flanpy.host.tunnel_file import FILE_NAME, TunnelFile
from flanpy.model.objects import TunnelPeer

PEERS = (
    TunnelPeer("flannel0", IPv4Network("10.50.11.0/24"), IPv4Address("192.0.2.11"), fast=True),
    TunnelPeer("flannel0", IPv4Network("10.50.12.0/24"), IPv4Address("192.0.2.12")),
)


def test_table_is_read_as_it_was_saved(tmp_path: Path) -> None:
    TunnelFile(tmp_path / "run").save(PEERS)
    assert TunnelFile(tmp_path / "run").load() == PEERS
    assert (tmp_path / "run" / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_table_is_empty_where_nothing_was_saved(tmp_path: Path) -> None:
    assert TunnelFile(tmp_path).load() == ()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'[["flannel0"]]', b'[["flannel0","x","192.0.2.1",true]]', b"\xff", b"[" * 9999]
)  # fmt: skip
def test_odd_file_is_an_empty_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert TunnelFile(tmp_path).load() == ()


def test_table_that_cannot_be_saved_raises_with_the_path(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(HostError, match=FILE_NAME):
        TunnelFile(tmp_path).save(PEERS)
