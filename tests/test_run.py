"""The report of `make test` at its end: tests that fail, and tests that fail once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from integration.net.claim import PROJECT_ROOT

_ONCE = """\
from pathlib import Path

def test_fails_once():
    seen = Path(__file__).with_name("seen")
    again = seen.exists()
    seen.touch()
    assert again

def test_passes():
    pass
"""
_ALWAYS = """
def test_fails_always():
    assert False
"""


def _run(directory: Path, text: str) -> tuple[int, list[str]]:
    (directory / "test_sample.py").write_text(text)
    (directory / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        ["sh", "tests/run.sh", sys.executable, str(directory)],
        cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("more", ["", _ALWAYS], ids=["alone", "beside one that fails"])
def test_what_fails_once_is_named_as_flaky_before_pytests_last_line(tmp_path: Path, more: str) -> None:
    code, lines = _run(tmp_path, _ONCE + more)
    assert code == bool(more)
    assert [line for line in lines if line.startswith("FLAKY ")] == ["FLAKY test_sample.py::test_fails_once"]
    wanted = "1 failed, 1 passed in " if more else "1 passed in "
    assert lines[-1].startswith(wanted)
    assert (
        re.search(r"^FAILED .*test_sample.py::test_fails_always", lines[-2])
        if more
        else lines[-2].startswith("FLAKY")
    )
