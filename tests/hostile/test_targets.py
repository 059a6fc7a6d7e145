"""The targets of fuzzing, on what they are begun with, on what it found, and on what Hypothesis makes of that."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.drivers.matrix.outcome import in_full
from tests.hostile.targets import FOUND, TARGETS

EXAMPLES = settings(
    max_examples=3000 if in_full() else 50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.parametrize("name", TARGETS)
def test_target_reads_what_it_is_begun_with_and_what_was_found(name: str) -> None:
    target, seeds = TARGETS[name]
    for octets in (*seeds, *FOUND.get(name, ())):
        target(octets)


@st.composite
def _spoilt(draw: st.DrawFn, seed: bytes) -> bytes:
    octets = bytearray(seed)
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(seed)), st.binary(max_size=4)), max_size=4)):
        octets[at : at + draw(st.integers(0, 3))] = value
    return bytes(octets[: draw(st.integers(0, 2 * len(seed)))])


@pytest.mark.parametrize("name", TARGETS)
def test_target_reads_what_is_nearly_right(name: str) -> None:
    target, seeds = TARGETS[name]

    @EXAMPLES
    @given(st.one_of(*map(_spoilt, seeds), st.binary(max_size=60)))
    def read(octets: bytes) -> None:
        target(octets)

    read()
