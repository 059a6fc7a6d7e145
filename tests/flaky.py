"""A plugin of pytest for the second look at what failed (`tests/run.sh`): names what passes now."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line `FLAKY test` for each."""
    names = sorted({report.nodeid for report in terminalreporter.stats.get("passed", ())})
    if names:
        terminalreporter.section("flaky: failed at the first look, passed at the second", sep="=")
        for name in names:
            terminalreporter.write_line(f"FLAKY {name}")
