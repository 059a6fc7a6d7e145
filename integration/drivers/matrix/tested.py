"""Owns the families whose faults are tried by tests: which tests a family has, and running them for their notes.

It must not know the faults. Beside what the tests note, each test that fails is noted as a fault that was not survived
(integration.drivers.matrix.notes).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from integration.drivers.matrix.outcome import LONG, LONG_VARIABLE, REPORT_VARIABLE, Outcome, keep

ROOT = Path(__file__).parents[3]
FAMILIES = ("host", "hostile", "kernel")
_DIRECTORIES = ("tests/faults", "tests/hostile")
_TRIED_BEFORE = "tests/faults/test_etcd_faults.py::test_p24_"
"""By the family etcd itself."""
_DEADLINE_S = 1800
_FAILED = (0, 1)


def family_of(path: str) -> str:
    """Return the family that a test belongs to, by the path of its file."""
    file = Path(path)
    if file.parent.name == "hostile":
        return "hostile"
    return next((name for name in ("etcd", "kernel") if file.name.startswith(f"test_{name}_")), "host")


def files_of(families: Sequence[str]) -> list[str]:
    """The tests of these families, and what etcd's have beyond that family's own cases."""
    found = (path for directory in _DIRECTORIES for path in sorted((ROOT / directory).glob("test_*.py")))
    names = [str(path.relative_to(ROOT)) for path in found]
    return [name for name in names if family_of(name) in families]


def run(families: Sequence[str], *, in_full: bool, report: Path) -> None:
    """Run their tests, and let everything be noted in the report. What pytest prints goes to stderr."""
    argv = [
        sys.executable, "-m", "pytest", "-q", "-n", "0", "--timeout", str(_DEADLINE_S),
        "-p", "integration.drivers.matrix.notes", "--deselect", _TRIED_BEFORE, *files_of(families),
    ]  # fmt: skip
    wanted = {REPORT_VARIABLE: str(report.absolute())} | ({LONG_VARIABLE: LONG} if in_full else {})
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, **wanted}, stdout=sys.stderr, check=False)
    if done.returncode not in _FAILED:
        keep(Outcome("tests", " ".join(families), wrong=f"pytest ended with {done.returncode}"), report)
