"""The package that pages have installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package of this checkout."""
    if given := os.environ.get("FLANPY_DEB"):
        return Path(given)
    built = subprocess.run(
        ["sh", str(ROOT / "deploy/debian/build.sh"), str(tmp_path_factory.mktemp("dist"))],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    return Path(built.stdout.split()[-1])
