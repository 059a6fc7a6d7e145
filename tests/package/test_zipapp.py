"""flanpyctl as one file: runs where nothing is installed, and speaks to a real etcd."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from integration.net.claim import PROJECT_ROOT
from tests.conftest import EtcdSpace
from tests.package.notices import bill_of

# It is built first, which takes a while.
pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

PYTHON = "/usr/bin/python3"
LIBRARIES = ("docker", "etcd3", "grpc.aio", "pyroute2", "rich.console", "shtab", "structlog")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("zipapp")
    built = subprocess.run(
        ["sh", str(PROJECT_ROOT / "deploy/zipapp/build.sh"), str(directory)],
        env={**os.environ, "PYTHON": PYTHON}, capture_output=True, text=True, timeout=800, check=True,
    )  # fmt: skip
    return Path(built.stdout.strip())


def run(archive: Path, home: Path, *words: str, python: str = PYTHON) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-I", str(archive), *words],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.etcd
def test_one_file_speaks_to_etcd_after_unpacking_itself_once(
    archive: Path, etcd: EtcdSpace, tmp_path: Path
) -> None:
    where = ("--etcd-endpoints", ",".join(etcd.settings.endpoints), "--etcd-prefix", etcd.prefix)
    assert run(archive, tmp_path, "network", "init", "10.50.0.0/16", *where).stderr == ""
    unpacked = list((tmp_path / ".cache/flanpyctl").iterdir())
    shown = run(archive, tmp_path, "network", "show", *where)
    assert "10.50.0.0/16" in shown.stdout, shown.stderr
    assert list((tmp_path / ".cache/flanpyctl").iterdir()) == unpacked
    assert (tmp_path / ".cache/flanpyctl").stat().st_mode & 0o077 == 0
    assert len(unpacked) == 1


def test_one_file_is_small_and_starts_by_itself(archive: Path, tmp_path: Path) -> None:
    assert archive.stat().st_size < 20e6
    assert archive.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert run(archive, tmp_path, "version").stdout.startswith("flanpyctl ")
    with zipfile.ZipFile(archive) as opened:
        assert opened.read("LICENSE") == (PROJECT_ROOT / "LICENSE").read_bytes()


def test_one_file_has_the_notices_of_every_library_in_it_and_lists_them(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        listed = bill_of(opened.read("sbom.cdx.json"), opened.read("NOTICES").decode())
        inside = {name.split("/")[1] for name in opened.namelist() if name.startswith("site/")}
    assert {"docker", "etcd3", "grpcio", "protobuf", "pyroute2", "rich"} <= listed
    assert inside >= {"docker", "etcd3", "grpc", "pyroute2", "rich"}


def test_one_file_says_what_is_wrong_where_it_cannot_unpack(archive: Path, tmp_path: Path) -> None:
    (tmp_path / ".cache").write_text("")
    refused = run(archive, tmp_path, "version")
    assert refused.returncode == 1
    assert "cannot unpack to" in refused.stderr
    assert "XDG_CACHE_HOME" in refused.stderr


@pytest.mark.netns
@pytest.mark.parametrize("whose", ["another's", "open to all", "a link", "unpacked by another"])
def test_one_file_runs_nothing_out_of_a_cache_that_others_can_write(
    archive: Path, tmp_path: Path, whose: str
) -> None:
    """L8: `su` and `sudo -E` keep XDG_CACHE_HOME of the user before."""
    cache, trap = tmp_path / ".cache/flanpyctl", tmp_path / "trap"
    assert run(archive, tmp_path, "version").returncode == 0
    (site,) = cache.iterdir()
    (site / "flanpy/cli/main.py").write_text(f"def main():\n    open({str(trap)!r}, 'w')\n")
    match whose:
        case "another's":
            os.chown(cache, 65534, 65534)
        case "open to all":
            cache.chmod(0o777)
        case "a link":
            cache.rename(tmp_path / "elsewhere")
            cache.symlink_to(tmp_path / "elsewhere")
        case _:
            os.chown(site, 65534, 65534)
    refused = run(archive, tmp_path, "version")
    assert refused.returncode == 1
    assert "is not this user's alone" in refused.stderr
    assert "XDG_CACHE_HOME" in refused.stderr
    assert not trap.exists()


def test_one_file_has_what_every_command_imports(archive: Path, tmp_path: Path) -> None:
    assert run(archive, tmp_path, "version").returncode == 0
    (site,) = (tmp_path / ".cache/flanpyctl").iterdir()
    modules = sorted(
        ".".join(path.relative_to(site).with_suffix("").parts)
        for path in (site / "flanpy/cli").rglob("*.py")
        if path.stem != "__init__"
    )
    ask = f"import sys; sys.path.insert(0, {str(site)!r}); import {', '.join([*modules, *LIBRARIES])}"
    told = subprocess.run([PYTHON, "-I", "-c", ask], capture_output=True, text=True, timeout=200, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert len(modules) > 30
