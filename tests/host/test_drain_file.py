"""The mark of a drained host: it is found again, goes away, and stands in doubt."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from flanpy.errors import HostError
from flanpy.host import drain_file
from flanpy.host.drain_file import Drained
from flanpy.model.lease import SubnetKey

BOTH = SubnetKey(IPv4Network("10.50.75.0/24"), IPv6Network("fd50:1:0:4c::/64"))


@pytest.mark.parametrize("key", [BOTH, SubnetKey(BOTH.subnet), SubnetKey(None, BOTH.subnet6), None])
def test_mark_is_found_again_with_its_subnet_until_it_is_cleared(
    tmp_path: Path, key: SubnetKey | None
) -> None:
    state = tmp_path / "new"
    assert drain_file.load(state) is None
    drain_file.mark(state, Drained(key, 1_800_000_000.5))
    assert drain_file.load(state) == Drained(key, 1_800_000_000.5)
    drain_file.clear(state)
    drain_file.clear(state)
    assert drain_file.load(state) is None


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"7", b'{"subnet": "moon"}', b'{"since": "then"}', b"\xff"]
)
def test_mark_that_cannot_be_read_means_drained(tmp_path: Path, text: bytes) -> None:
    (tmp_path / drain_file.FILE_NAME).write_bytes(text)
    assert drain_file.load(tmp_path) == Drained()


def test_mark_that_cannot_be_written_or_removed_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / drain_file.FILE_NAME).mkdir()
    with pytest.raises(HostError, match=drain_file.FILE_NAME):
        drain_file.mark(tmp_path, Drained())
    with pytest.raises(HostError, match=drain_file.FILE_NAME):
        drain_file.clear(tmp_path)
    assert drain_file.load(tmp_path) == Drained()
