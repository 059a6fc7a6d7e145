"""Prometheus' own tool, which comes with Debian's package."""

from __future__ import annotations

import subprocess


def promtool(*arguments: str, stdin: str = "") -> str:
    """Run promtool and return its output; raise AssertionError with the output if promtool fails."""
    done = subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
