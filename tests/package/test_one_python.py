"""The package for one Python alone, which is of the size that is wanted of the base."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from integration import package

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.mark.more_engines
def test_package_for_one_python_is_small_and_asks_for_that_python(tmp_path: Path) -> None:
    own = f"3.{package.minor()}"
    deb = Path(
        package.run(
            "env", f"DEB_PYTHON={own}", "DEB_COMPILED=no", "sh", str(package.BUILD), str(tmp_path)
        ).strip()
    )
    assert deb.stat().st_size < 12e6
    wanted = f"python3 (>= {own}) | python{own}, python3 (<< 3.{package.minor() + 1}) | python{own}"
    assert wanted in package.run("dpkg-deb", "-f", str(deb), "Depends")
    listed = package.run("dpkg-deb", "-c", str(deb)).splitlines()
    modules = [line for line in listed if ".cpython-" in line]
    assert modules
    assert all(f".cpython-3{package.minor()}-" in line for line in modules)


def test_python_that_flanpy_is_not_for_is_refused_by_those_that_it_is_for(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(package.BUILD), str(tmp_path)], env={**os.environ, "DEB_PYTHON": "3.9"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("deb: DEB_PYTHON=3.9: there are 3.11 3.12 3.13 3.14")
