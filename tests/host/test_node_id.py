"""The identity of a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from flanpy.errors import HostError
from flanpy.host.node_id import known_node_id, node_id

_ID = "0123456789abcdef0123456789abcdef"


def test_configured_id_wins(tmp_path: Path) -> None:
    found = node_id("h1", state_dir=tmp_path)
    assert (str(found), found.origin) == ("h1", "setting node-id")


def test_p27_hash_of_the_machine_id_is_stable_and_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "machine-id").write_text(f"{_ID}\n")
    found = node_id(None, state_dir=tmp_path, machine_id=tmp_path / "machine-id")
    # As openssl computes it. Fixed for all releases: with another hash every host would be another node.
    assert found.text == "870c5e7b9df9a174"
    assert found.text not in _ID
    assert "machine-id" in found.origin
    assert not (tmp_path / "node-id").exists()


@pytest.mark.parametrize("content", [None, "", "uninitialized\n", "0" * 32, _ID[:-1], "zz" * 16, "\xff"])
def test_made_up_id_is_kept_when_there_is_no_machine_id(tmp_path: Path, content: str | None) -> None:
    machine_id = tmp_path / "machine-id"
    if content is not None:
        machine_id.write_text(content)
    first = node_id(None, state_dir=tmp_path / "state", machine_id=machine_id)
    assert len(first.text) == 16
    assert node_id(None, state_dir=tmp_path / "state", machine_id=machine_id) == first
    assert node_id(None, state_dir=tmp_path / "other", machine_id=machine_id).text != first.text


def test_damaged_kept_id_is_made_up_anew(tmp_path: Path) -> None:
    (tmp_path / "node-id").write_text("junk")
    found = node_id(None, state_dir=tmp_path, machine_id=tmp_path / "none")
    assert (tmp_path / "node-id").read_text() == f"{found.text}\n"


def test_id_that_cannot_be_kept_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(HostError, match="state/node-id"):
        node_id(None, state_dir=tmp_path / "state", machine_id=tmp_path / "none")


def test_commands_read_the_made_up_id_and_make_up_none(tmp_path: Path) -> None:
    """Root runs them, and the directory is the daemon's user's."""
    none = tmp_path / "none"
    assert known_node_id(None, state_dir=tmp_path / "state", machine_id=none) is None
    assert not (tmp_path / "state").exists()
    made = node_id(None, state_dir=tmp_path / "state", machine_id=none)
    assert known_node_id(None, state_dir=tmp_path / "state", machine_id=none) == made
