"""The judge of a soak can fail: whatever leaks is named, and what stands still is not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from integration.drivers.soak.lag import Lags
from integration.drivers.soak.report import table
from integration.drivers.soak.run import BOUNDS, Soaked
from integration.drivers.soak.sample import Sample
from integration.drivers.soak.trend import trend

LEVEL = Sample(
    at=0.0,
    pss=60.0,
    rss=80.0,
    heap=40.0,
    fds=21,
    threads=9,
    netlink=4,
    cpu=3.0,
    lag=12.0,
    lag_worst=30.0,
    etcd_leases=1,
)
MEASURES = [bound.name for bound in BOUNDS]
SECONDS = 600
A_LEAK = {"fds": 90, "pss": 120, "rss": 45, "heap": 24, "cpu": 120, "lag": 30_000}
"""So much an hour is found within ten minutes; of what is counted, one more every two minutes."""


def _soaked(leaking: str = "") -> Soaked:
    samples = [replace(LEVEL, at=float(second)) for second in range(0, SECONDS, 4)]
    if leaking:
        rate = A_LEAK.get(leaking, 30) / 3600
        samples = [
            replace(each, **{leaking: type(getattr(each, leaking))(getattr(each, leaking) + each.at * rate)})
            for each in samples
        ]
    return Soaked(SECONDS / 60, 1000, 6000, {"h1": samples})


@pytest.mark.parametrize("name", ["heap", "rss", "pss", "fds", "threads", "netlink", "etcd_leases", "lag"])
def test_what_must_stay_flat_is_judged(name: str) -> None:
    assert name in MEASURES


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_that_grows_is_named_and_no_other(name: str) -> None:
    (line,) = _soaked(name).growing
    assert line.startswith(f"h1: {name} rose by")
    assert f"{name:12}" in next(each for each in table(_soaked(name)).splitlines() if "GROWS" in each)


def test_a_route_that_does_not_come_is_a_lag_that_grows() -> None:
    """A missing route counts as late until it stands; otherwise a daemon that stands still would have no lag."""
    lags = Lags()
    now = time.time()
    for subnet in ("10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"):
        lags.came(subnet)
    lags.seen("10.0.1.0/24", now + 0.5)
    lags.went("10.0.2.0/24")
    assert lags.take_ms(now + 30) == [pytest.approx(500, abs=400), pytest.approx(30_000, abs=400)]
    lags.seen("10.0.3.0/24", now + 40)
    assert lags.take_ms(now + 41) == [pytest.approx(40_000, abs=400)]
    assert lags.take_ms(now + 42) == []


def test_nothing_is_told_of_what_stands_still() -> None:
    assert _soaked().growing == []
    assert "GROWS" not in table(_soaked())


def test_what_flattens_is_told_from_what_goes_on() -> None:
    bound = BOUNDS[0]
    flattens = trend(bound, [(float(at), 40 + 2 * min(at, 240) / 240) for at in range(SECONDS)])
    goes_on = trend(bound, [(float(at), 40 + at / 300) for at in range(SECONDS)])
    assert flattens.late_per_hour == pytest.approx(0.0, abs=0.01)
    assert goes_on.late_per_hour == pytest.approx(goes_on.whole_per_hour) == pytest.approx(12.0)
