"""A pytest plugin (`-p integration.drivers.matrix.notes`): no test of a fault stays without a note.

A test notes what it tried and saw survived, by the figures that it took. One that fails is noted here as a fault that
was not survived, one that passed without a note of its own by its name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from integration.drivers.matrix.outcome import REPORT_VARIABLE, Outcome, keep
from integration.drivers.matrix.tested import family_of

_sizes: dict[str, int] = {}


def pytest_runtest_logstart(nodeid: str) -> None:
    """Record the size of the notes before the test."""
    _sizes[nodeid] = _size()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add the note that the test itself did not write."""
    path, _, name = report.nodeid.partition("::")
    if report.failed:
        wrong = f"{report.when}: {_first_line(report)}"
    elif report.when == "call" and report.passed and _size() == _sizes.get(report.nodeid, 0):
        wrong = ""
    else:
        return
    fault = name.removeprefix("test_").replace("_", " ")
    keep(Outcome(family_of(path), fault, wrong=wrong), _report())


def _first_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return next(iter(text.strip().splitlines()), "failed")


def _report() -> Path:
    return Path(os.environ[REPORT_VARIABLE])


def _size() -> int:
    return _report().stat().st_size if _report().exists() else 0
