"""Answers of the store's host: a refusal is raised by its reason, and a clock that is off is told before any secret."""

from __future__ import annotations

import time

import pytest

from flanpy.cluster.records import Refused
from flanpy.cluster.talk import CLOCK_S, NotAdmitted, checked
from flanpy.errors import HostError


@pytest.mark.parametrize(("off", "way"), [(CLOCK_S + 60, "behind"), (-CLOCK_S - 60, "ahead of")])
def test_clock_that_is_off_is_told_with_its_direction(off: float, way: str) -> None:
    with pytest.raises(HostError, match=rf"\d+ s {way} the store's host's: set the clock"):
        checked({"time": time.time() + off})


def test_clock_that_is_nearly_right_is_taken() -> None:
    answer = {"authority": "x", "time": time.time() + CLOCK_S / 2}
    assert checked(answer) == answer


@pytest.mark.parametrize("reason", Refused)
def test_refusal_is_raised_by_its_reason(reason: Refused) -> None:
    with pytest.raises(NotAdmitted) as refused:
        checked({"refused": reason.value, "time": time.time()})
    assert refused.value.reason is reason
