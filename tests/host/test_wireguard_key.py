"""The key file: made once, kept over restarts, and one that is bad named and left as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flanpy.errors import HostError
from flanpy.host.wireguard_key import NAME, key_pair, made_at, put_back, replaced
from flanpy.model.wireguard import written


def test_key_is_made_once_for_its_owner_alone_and_found_again(tmp_path: Path) -> None:
    first = key_pair(tmp_path)
    file = tmp_path / NAME
    assert file.stat().st_mode & 0o7777 == 0o600
    assert file.read_text() == f"{written(first.private)}\n"
    assert key_pair(tmp_path) == first
    assert first.private[0] & 7 == 0
    assert written(first.private) not in repr(first)


def test_key_of_flannels_form_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_text(written(bytes(range(32))))  # no newline, and not clamped
    file.chmod(0o400)
    assert key_pair(tmp_path).private == bytes(range(32))


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("", 0o600, "it has 0 characters that are no key"),
        (written(bytes(range(32)))[:43], 0o600, "it has 43 characters that are no key"),
        (written(bytes(32)), 0o600, "are no key"),
        ("x" * 5000, 0o600, "cannot be used"),
        (written(bytes(range(32))), 0o644, "its mode is 0644, so that others read it: chmod 0600"),
        (written(bytes(range(32))), 0o620, "its mode is 0620"),
    ],
)
def test_bad_key_is_named_with_its_cure_and_nothing_is_written_over_it(
    tmp_path: Path, content: str, mode: int, words: str
) -> None:
    file = tmp_path / NAME
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(HostError, match=words) as raised:
        key_pair(tmp_path)
    assert str(file) in str(raised.value)
    assert "move it away, and flanpyd makes a new one" in str(raised.value)
    assert file.read_text() == content
    assert not content or content not in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
def test_key_of_another_user_is_refused(tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_text(written(bytes(range(32))))
    file.chmod(0o600)
    os.chown(file, 65534, 65534)
    with pytest.raises(HostError, match="it belongs to user 65534"):
        key_pair(tmp_path)


def test_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(written(bytes(range(32))))
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostError, match="cannot be used"):
        key_pair(tmp_path)


def test_key_is_replaced_in_one_step_and_put_back(tmp_path: Path) -> None:
    assert made_at(tmp_path) is None
    first = key_pair(tmp_path)
    second = replaced(tmp_path)
    assert second != first
    assert key_pair(tmp_path) == second
    assert (tmp_path / NAME).stat().st_mode & 0o7777 == 0o600
    assert made_at(tmp_path) == (tmp_path / NAME).stat().st_mtime
    put_back(tmp_path, first)
    assert key_pair(tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_bad_key_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_text("too short")
    with pytest.raises(HostError, match="cannot be used"):
        replaced(tmp_path)
    assert file.read_text() == "too short"
