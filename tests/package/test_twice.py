"""Every artefact is the same to the byte when it is built again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from integration.net.claim import PROJECT_ROOT

pytestmark = [pytest.mark.lab, pytest.mark.more_engines, pytest.mark.timeout(1800)]

STAMPED = {"SOURCE_DATE_EPOCH": "1700000000"}
"""A time of no commit: the packages of the other tests may be of an earlier one."""
QUICKLY = {"DEB_COMPRESSION": "zstd", "DEB_LEVEL": "3", "RPM_COMPRESSION": "zstd"}


def _built(script: str, directory: Path, **environment: str) -> bytes:
    done = subprocess.run(
        ["sh", str(PROJECT_ROOT / "deploy" / script), str(directory)],
        env={**os.environ, **QUICKLY, **STAMPED, **environment}, capture_output=True, text=True, timeout=800,
        check=True,
    )  # fmt: skip
    return Path(done.stdout.strip()).read_bytes()


def test_debian_package_is_the_same_twice(tmp_path: Path) -> None:
    first, second = (_built("debian/build.sh", tmp_path / name) for name in ("one", "two"))
    assert first == second


def test_rpm_package_is_the_same_twice(deb: Path, tmp_path: Path) -> None:
    first, second = (_built("rpm/build.sh", tmp_path / name, RPM_FROM=str(deb)) for name in ("one", "two"))
    assert first == second


def test_container_image_is_the_same_twice(deb: Path, tmp_path: Path) -> None:
    quickly = {"IMAGE_FROM": str(deb), "IMAGE_LEVEL": "1"}
    first, second = (_built("image/build.sh", tmp_path / name, **quickly) for name in ("one", "two"))
    assert first == second


def test_one_file_flanpyctl_is_the_same_twice(tmp_path: Path) -> None:
    first, second = (_built("zipapp/build.sh", tmp_path / name) for name in ("one", "two"))
    assert first == second


def test_wheel_is_the_same_twice(tmp_path: Path) -> None:
    wheels = []
    for name in ("one", "two"):
        subprocess.run(
            [str(PROJECT_ROOT / ".venv/bin/python"), "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation",
             "--wheel-dir", str(tmp_path / name), str(PROJECT_ROOT)],
            env={**os.environ, **STAMPED}, timeout=300, check=True,
        )  # fmt: skip
        (wheel,) = (tmp_path / name).glob("*.whl")
        wheels.append(wheel.read_bytes())
    assert wheels[0] == wheels[1]
