"""A Python that has no numpy, as one in which the extra `udp-bulk` is not installed."""

from __future__ import annotations

from pathlib import Path


def hide_numpy(directory: Path) -> Path:
    """Return `directory`, made such that numpy cannot be imported where it is first in PYTHONPATH."""
    (directory / "numpy.py").write_text("raise ImportError('hidden by a test')\n")
    return directory
