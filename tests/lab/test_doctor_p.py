"""P01 to P32 in namespaces: doctor's first finding names the problem, condition and alert follow, all clears after it.

What flanpyd heals at once shows as repairs: doctor holds them for trouble when they come again and again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from integration.faults.catalogue import PROBLEMS
from integration.faults.fault import PLAIN, Evidence, Fault, Setting, struck
from integration.lab import Host, Lab
from tests.lab.conftest import _standing
from tests.lab.injected_side import (
    Fresh,
    condition,
    doctor,
    expression,
    look,
    names,
    repairs,
    standing,
    wait_well,
    would_fire,
)
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

EVENTUALLY_S = 45.0
"""The packet filter is looked through now and then."""

OFTEN = 5
"""Repairs of this number are trouble to doctor, however many objects each was of."""

MOST_BLOWS = 20
"""Fewer are enough for an alert; a repair is sometimes counted a moment late."""

LASTING = sorted(
    (one for one in PROBLEMS if not one.heals),
    key=lambda one: (one.setting == PLAIN, str(one.setting)),
)
"""Sorted, so that few labs are built: the plain one, in which the rest is tried, last."""

HEALING = [one for one in PROBLEMS if one.heals]


class Labs:
    """One lab at a time, as long as tests have the same setting."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._setting: Setting | None = None
        self._lab: Lab | None = None

    def on(self, setting: Setting) -> Lab:
        """A lab of that setting."""
        if self._lab is None or self._setting != setting:
            self.close()
            self._lab, self._setting = self._stack.enter_context(standing(setting)), setting
            _standing.append(self._lab)
            self._stack.callback(_standing.remove, self._lab)
            wait_well(self._lab.hosts[0])
        return self._lab

    def close(self) -> None:
        """End the one that stands."""
        self._stack.close()
        self._lab = None


@pytest.fixture(scope="module")
def labs() -> Iterator[Labs]:
    kept = Labs()
    try:
        yield kept
    finally:
        kept.close()


def _first(found: list[dict[str, Any]], one: Fault, words: tuple[str, ...], *, severity: str = "") -> bool:
    first = next(iter(found), None)
    return (
        first is not None
        and first["id"] == one.problem
        and names(first, words)
        and severity in {"", first["severity"]}
    )


def _wait_first(host: Host, one: Fault, words: tuple[str, ...], *, severity: str = "") -> None:
    """Wait until the finding is reported first, by the command, too."""
    eventually(
        lambda: _first(look(host), one, words, severity=severity),
        lambda: look(host)[:3],
        deadline=EVENTUALLY_S,
    )
    eventually(
        lambda: _first(doctor(host), one, words, severity=severity),
        lambda: doctor(host)[:3],
        deadline=EVENTUALLY_S,
    )


@pytest.mark.parametrize("one", LASTING, ids=lambda one: one.problem)
def test_doctor_names_what_lasts_first_and_condition_and_alert_follow_and_clear(
    one: Fault, labs: Labs
) -> None:
    lab = labs.on(one.setting)
    host = lab.hosts[0]
    with struck(one, lab) as found:
        _is_told(one, found)
    eventually(lambda: not found.is_broken(), f"{one.problem} is not undone")
    wait_well(host)
    if one.condition:
        eventually(
            lambda: condition(host, one.condition)["healthy"] and not would_fire(host, one.alert),
            lambda: condition(host, one.condition),
            deadline=EVENTUALLY_S,
        )


def _is_told(one: Fault, found: Evidence) -> None:
    host = found.host
    _wait_first(host, one, found.words)
    if one.condition:
        eventually(
            lambda: not condition(host, one.condition)["healthy"] and would_fire(host, one.alert),
            lambda: condition(host, one.condition),
            deadline=EVENTUALLY_S,
        )
        eventually(
            lambda: one.condition in {row["condition"] for row in look(host)},
            lambda: look(host)[:3],
            deadline=EVENTUALLY_S,
        )
    elif one.alert:
        assert expression(one.alert) == 'up{job="flanpy"} == 0'
        with pytest.raises(TimeoutError):
            host.daemon.fetch("/metrics")


@pytest.fixture(scope="module")
def fresh(labs: Labs) -> Fresh:
    """Asked for by tests that run last, in one setting."""
    return Fresh(labs.on(PLAIN), PLAIN)


@pytest.mark.parametrize("one", HEALING, ids=lambda one: one.problem)
def test_doctor_names_first_what_flanpyd_must_heal_again_and_again(
    one: Fault, fresh: Fresh, labs: Labs
) -> None:
    lab = labs.on(PLAIN)
    looked_at = re.fullmatch(
        r"sum by \(.*\) \(increase\(flanpy_repairs_total\[10m\]\)\) > (\d+)", expression(one.alert)
    )
    assert looked_at
    with fresh.one() as host:
        wait_well(host)
        before = repairs(host)
        with struck(one, lab, host=host) as found:
            pass
        _wait_first(host, one, (), severity="note")
        for blow in range(MOST_BLOWS):
            with struck(one, lab, host=host):
                pass
            if blow >= OFTEN and repairs(host) - before > int(looked_at[1]):
                break
        _wait_first(host, one, found.words, severity="warning")
        eventually(
            lambda: repairs(host) - before > int(looked_at[1]),
            lambda: f"{repairs(host)}: the alert counts these",
        )
