"""The package for arm64, built here: its programs run on that architecture's Python, under qemu-user."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flanpy import __version__
from integration import package
from integration.net.claim import PROJECT_ROOT

pytestmark = [pytest.mark.lab, pytest.mark.more_engines, pytest.mark.timeout(1800)]

_PROGRAM = """\
import platform, runpy, sys
sys.path.insert(0, sys.argv[1])
sys.argv[:2] = []
print(platform.machine(), file=sys.stderr)
import aiohttp._http_parser, google._upb._message, grpc._cython.cygrpc, msgspec._core, multidict._multidict
from flanpy.cli.main import main as flanpyctl
from flanpy.daemon.main import main as flanpyd
raise SystemExit({"flanpyctl": flanpyctl, "flanpyd": flanpyd}[sys.argv[0]]())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("arm64")
    environment = {"DEB_ARCH": "arm64", "DEB_COMPRESSION": "zstd", "DEB_LEVEL": "3"}
    deb = package.run("env", *(f"{name}={value}" for name, value in environment.items()),
                      "sh", str(package.BUILD), str(directory)).strip()  # fmt: skip
    assert package.run("dpkg-deb", "-f", deb, "Architecture").strip() == "arm64"
    package.run("dpkg-deb", "-x", deb, str(directory / "tree"))
    return directory / "tree/opt/flanpy/lib/python3/site-packages"


@pytest.fixture(scope="module")
def emulated() -> list[str]:
    place = package.run("sh", str(PROJECT_ROOT / "integration/pythons/arm64.sh")).strip()
    return [
        f"{place}/bin/qemu",
        "-L",
        f"{place}/root",
        f"{place}/root/usr/bin/python3.11",
        "-I",
        "-S",
        "-c",
        _PROGRAM,
    ]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("flanpyd", "--version"), f"flanpyd {__version__}"),
        (("flanpyctl", "version"), f"flanpyctl {__version__}"),
        (("flanpyctl", "config", "show"), "etcd-endpoints"),
    ],
)
def test_programs_of_the_arm64_package_run(
    site: Path, emulated: list[str], words: tuple[str, ...], wanted: str
) -> None:
    done = subprocess.run(
        [*emulated, str(site), *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stderr.splitlines()[:1] == ["aarch64"]
    assert wanted in done.stdout
