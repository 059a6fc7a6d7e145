"""A Python that has no numpy, as one in which the extra `udp-bulk` is not installed."""

from __future__ import annotations

import sys
from pathlib import Path


def hide_numpy(directory: Path) -> Path:
    """Return `directory`, made such that numpy cannot be imported where it is first in PYTHONPATH."""
    (directory / "numpy.py").write_text("raise ImportError('hidden by a test')\n")
    return directory


def command_without_numpy(module: str) -> tuple[str, ...]:
    """Return the words that run `module` without numpy; as `children.command_of`, which reads no PYTHONPATH."""
    code = "import runpy, sys; sys.modules['numpy'] = None; runpy.run_module(sys.argv.pop(1), run_name='__main__')"
    return (sys.executable, "-I", "-c", code, module)
