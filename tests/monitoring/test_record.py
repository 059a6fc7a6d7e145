"""The samples of the reference are what the program tells now."""

from __future__ import annotations

from tests.monitoring.record import SAMPLES, samples


def test_samples_of_the_reference_are_what_the_program_tells() -> None:
    kept = {path.name: path.read_text() for path in SAMPLES.iterdir()}
    assert kept == samples(), "docs/generate/samples is stale: run make reference"
