"""The events on disk: found again by their node, and nothing odd on disk stops a start."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.errors import HostError
from flanpy.host import events_file
from flanpy.host.absent import Absent
from flanpy.host.events_file import load, save
from flanpy.model.event import Event, EventKind, History, Spell

ROW = Event(
    41, 1_700_000_100.5, EventKind.PEER_UNREACHABLE, "web-2", "PortBlocked: 8472 is silent", 3, ("mtu",), 3,
    1_700_000_000.25, Spell(1_700_000_090.0, None, 12.5), ("PortBlocked", "PeerDown"), ("web-2", "10.50.2.0-24"), 4,
)  # fmt: skip
MOMENT = Event(42, 1_700_000_200.0, EventKind.REPAIRED, "route", first_at=1_700_000_200.0)
HISTORY = History("e1", 42, (ROW, MOMENT))


def _path(directory: Path) -> Path:
    return directory / events_file.FILE_NAME


def _document(directory: Path) -> Any:
    return json.loads(_path(directory).read_text())


def test_events_are_found_again_by_their_node(tmp_path: Path) -> None:
    assert save(tmp_path / "new", HISTORY, node_id="h1")
    assert not save(tmp_path / "new", HISTORY, node_id="h1")
    assert load(tmp_path / "new", node_id="h1") == HISTORY
    assert _path(tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_missing_file_is_no_news(tmp_path: Path) -> None:
    assert load(tmp_path, node_id="h1") == Absent()


def test_events_of_a_copied_disk_are_absent_and_both_nodes_are_named(tmp_path: Path) -> None:
    save(tmp_path, HISTORY, node_id="h1")
    found = load(tmp_path, node_id="h2")
    assert isinstance(found, Absent)
    assert "'h1'" in found.reason
    assert "'h2'" in found.reason


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "[" * 100_000, '{"version": 1}', '{"version": 9, "events": []}', "\0\xff",
     '{"version": 1, "node_id": "h1", "epoch": "e", "newest": 1e999, "events": []}',
     '{"version": 1, "node_id": "h1", "epoch": "e", "newest": 1, "events": {}}'],
)  # fmt: skip
def test_file_that_cannot_be_used_is_absent_with_one_line_that_names_it(text: str, tmp_path: Path) -> None:
    _path(tmp_path).write_text(text, encoding="latin-1")
    found = load(tmp_path, node_id="h1")
    assert isinstance(found, Absent)
    assert str(_path(tmp_path)) in found.reason
    assert found.reason.isprintable()
    assert len(found.reason) < 500
    assert save(tmp_path, HISTORY, node_id="h1"), "the next write replaces it"
    assert load(tmp_path, node_id="h1") == HISTORY


def test_row_of_a_later_version_is_left_out_and_what_it_has_more_is_no_matter(tmp_path: Path) -> None:
    """Such a row is met after a downgrade."""
    save(tmp_path, HISTORY, node_id="h1")
    document = _document(tmp_path)
    document["events"][0]["kind"] = "not_invented_yet"
    document["events"][1]["colour"] = "blue"
    document["more"] = True
    _path(tmp_path).write_text(json.dumps(document))
    assert load(tmp_path, node_id="h1") == replace(HISTORY, events=(MOMENT,))


@pytest.mark.parametrize(
    ("name", "value"),
    [("at", "now"), ("at", None), ("at", True), ("what", 7), ("spell", [1]), ("spell", "long"), ("about", "web-2"),
     ("number", "x"), ("times", None), ("first_at", float("nan")), ("attributes", [7])],
)  # fmt: skip
def test_row_that_cannot_be_read_harms_no_other(name: str, value: object, tmp_path: Path) -> None:
    save(tmp_path, HISTORY, node_id="h1")
    document = _document(tmp_path)
    document["events"][0][name] = value
    _path(tmp_path).write_text(json.dumps(document))
    assert load(tmp_path, node_id="h1") == replace(HISTORY, events=(MOMENT,))


def test_file_is_bounded_however_long_the_story(tmp_path: Path) -> None:
    long = replace(ROW, why="x" * 100_000)
    save(tmp_path, History("e1", 9999, (long,) * 2000), node_id="h1")
    assert _path(tmp_path).stat().st_size < 2 << 20
    found = load(tmp_path, node_id="h1")
    assert isinstance(found, History)
    assert len(found.events) == 500


def test_directory_that_cannot_be_made_is_an_error_of_ours_and_the_old_file_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match=r"events\.json"):
        save(tmp_path / "file" / "state", HISTORY, node_id="h1")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(value=_JSON, name=st.sampled_from(sorted(events_file._row(ROW))))
def test_nothing_in_a_row_raises(value: Any, name: str) -> None:
    row = {**json.loads(json.dumps(events_file._row(MOMENT))), name: value}
    assert len(tuple(events_file._readable([row]))) <= 1
