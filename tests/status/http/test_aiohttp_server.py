"""The stand-in for the aiohttp package: the server half loads alone, the rest on demand."""

from __future__ import annotations

import subprocess
import sys

import pytest


def _printed(program: str) -> str:
    """Return what a fresh interpreter prints: this one loaded aiohttp long ago."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_http_listeners_load_without_the_client_half() -> None:
    assert _printed("import sys, flanpy.status.http; print('aiohttp.client' in sys.modules)") == "False"


def test_stand_in_becomes_the_whole_package_when_asked_for_the_client() -> None:
    program = "import flanpy.status.http, aiohttp; print(aiohttp.ClientSession.__module__, bool(aiohttp.__version__))"
    assert _printed(program) == "aiohttp.client True"


def test_stand_in_has_no_attribute_that_the_package_lacks() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _printed("import flanpy.status.http, aiohttp; aiohttp.nonsense")


def test_package_that_is_loaded_already_stays() -> None:
    program = "import aiohttp as a, flanpy.status.http, aiohttp as b; print(a is b, type(b).__name__)"
    assert _printed(program) == "True module"
