"""The disks that chaos fills and protects are really full and really read only, and are gone afterwards."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from integration.faults.means.disk import filled, read_only, small_disk

pytestmark = pytest.mark.netns  # for root: it mounts


def _errno_of_a_write(path: Path) -> int:
    try:
        path.write_text("x" * 10_000)
    except OSError as error:
        return error.errno or 0
    return 0


def test_a_filled_disk_takes_nothing_until_it_is_emptied(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        with filled(tmp_path):
            assert _errno_of_a_write(tmp_path / "one") == errno.ENOSPC
        assert _errno_of_a_write(tmp_path / "two") == 0
    assert not list(tmp_path.iterdir())
    assert not tmp_path.is_mount()


def test_a_read_only_disk_can_be_read_and_not_written(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        (tmp_path / "before").write_text("kept")
        with read_only(tmp_path):
            assert _errno_of_a_write(tmp_path / "one") == errno.EROFS
            assert (tmp_path / "before").read_text() == "kept"
        assert _errno_of_a_write(tmp_path / "one") == 0
