"""The samples of the reference are what the program tells now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.monitoring.record import SAMPLES


def test_samples_of_the_reference_are_what_the_program_tells(tmp_path: Path) -> None:
    # A process of its own: counters of this one carry what other tests counted.
    subprocess.run(
        [sys.executable, "-m", "tests.monitoring.record", tmp_path], check=True, cwd=SAMPLES.parents[2]
    )
    made, kept = ({path.name: path.read_text() for path in where.iterdir()} for where in (tmp_path, SAMPLES))
    assert made == kept, "docs/generate/samples is stale: run make reference"
