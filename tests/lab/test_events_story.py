"""The events of a real host tell its story: a start and a flapping peer are one row each, over restarts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.lab import Host, Lab, flanpyctl
from tests.lab.conftest import BuildLab
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

DEADLINE_S = 40.0


def _events(host: Host, *words: str) -> list[dict[str, Any]]:
    said = host.run(*flanpyctl(), "events", *words, "-o", "json")
    found: list[dict[str, Any]] = json.loads(said.stdout)["events"]
    return found


def _rows(host: Host, kind: str, *words: str) -> list[dict[str, Any]]:
    return [one for one in _events(host, *words) if one["kind"] == kind]


def _told(host: Host) -> str:
    return str(host.run(*flanpyctl(), "events").stdout)


def _is_away(host: Host, *, away: bool) -> bool:
    rows = _rows(host, "peer_unreachable")
    return bool(rows) and rows[-1]["lasts"] is away


def _saved_times(host: Host, peer: str) -> int:
    """Return the occasions of the peer's row in the file."""
    rows = json.loads((host.daemon.state_dir / "events.json").read_text())["events"]
    return sum(row["times"] for row in rows if (row["kind"], row["what"]) == ("peer_unreachable", peer))


def _cut(lab: Lab) -> None:
    """Cut the two hosts off from each other, until both ends are told."""
    one, two = lab.hosts
    with lab.faults.partition([one], [two]):
        eventually(lambda: _is_away(one, away=True), lambda: _told(one), deadline=DEADLINE_S)


def test_start_and_flapping_peer_are_one_row_each_and_outlive_restarts(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    one, two = lab.hosts
    eventually(lambda: bool(_rows(one, "peer_joined")), lambda: _told(one), deadline=DEADLINE_S)
    (start,) = _rows(one, "started")
    assert "; ready after " in start["text"]
    assert not [
        row for row in _rows(one, "phase_changed") if row["what"] in {"LISTING", "ACQUIRING", "SYNCING"}
    ]

    _cut(lab)
    eventually(lambda: _is_away(one, away=False), lambda: _told(one), deadline=DEADLINE_S)
    _cut(lab)
    eventually(lambda: _saved_times(one, two.name) == 2, lambda: _told(one), deadline=DEADLINE_S)
    one.daemon.kill()  # without a word
    one.daemon.up()
    eventually(lambda: _is_away(one, away=False), lambda: _told(one), deadline=DEADLINE_S)
    assert one.daemon.stop() == 0
    one.daemon.up()

    (row,) = _rows(one, "peer_unreachable")
    assert (row["what"], row["times"]) == (two.name, 2)
    assert row["first_at"] < row["ended_at"] == row["at"]
    assert f"{two.name} stopped answering 2 times, " in row["text"]
    (again,) = _rows(one, "started")
    assert (again["times"], again["first_at"]) == (3, start["first_at"])
    assert [one["what"] for one in _rows(one, "peer_unreachable", "--peer", str(two.address))] == [two.name]
    assert _rows(one, "started", "--peer", two.name) == []
    assert "STOPPING; over after " in _told(one)
    numbers = [one["number"] for one in _events(one)]
    assert numbers == sorted(set(numbers))
