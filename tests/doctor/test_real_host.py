"""doctor on real hosts with real daemons: nothing ails a well one, and what is broken is named and clears again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.lab import Host, Lab, flanpyctl
from integration.net.waiting import wait_until
from tests.lab.conftest import lab, shared_lab

__all__ = ["lab", "shared_lab"]

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


def _said(host: Host, code: int) -> list[dict[str, Any]] | None:
    """The findings, None if it did not end so."""
    ended = host.run(*flanpyctl(), "doctor", "-o", "json", check=False)
    return list(json.loads(ended.stdout)["findings"]) if ended.returncode == code else None


def _first(host: Host, problem: str, code: int) -> bool:
    found = _said(host, code)
    return bool(found) and found is not None and found[0]["id"] == problem


def test_doctor_names_what_is_broken_first_and_nothing_after_the_cure(lab: Lab) -> None:
    here, there = lab.hosts[:2]
    wait_until(lambda: _said(here, 0) == [], "a well host", deadline=60.0)
    with lab.faults.drop_on_host(here, "udp dport 8472"):
        wait_until(lambda: _first(here, "P06", 5), "P06", deadline=60.0)
    target = there.containers[0].address
    here.ip(f"route add blackhole {target}/32")
    try:
        wait_until(lambda: _first(here, "P32", 5), "P32", deadline=60.0)
    finally:
        here.ip(f"route del blackhole {target}/32")
    wait_until(lambda: _said(here, 0) is not None, "health after the cure", deadline=60.0)
    here.ip("link del flannel.1")
    wait_until(lambda: _first(here, "P11", 0), "P11", deadline=60.0)
