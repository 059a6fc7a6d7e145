"""The container image for this architecture and for arm64, of which nothing runs here but by qemu-user."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from flanpy import __version__
from integration import package
from integration.net.claim import PROJECT_ROOT
from tests.package.notices import bill_of

pytestmark = [pytest.mark.lab, pytest.mark.more_engines, pytest.mark.timeout(1800)]

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_SETPRIV = "SCHILY.xattr.security.capability"


class _Image:
    """An image as `docker load` takes it: its settings, and its one layer that is not empty."""

    def __init__(self, path: Path) -> None:
        self.archive = tarfile.open(path)  # noqa: SIM115, the fixture closes it
        self.manifest = self._json("manifest.json")[0]
        self.settings = self._json(self.manifest["Config"])
        (name,) = self.manifest["Layers"]
        self.layer = tarfile.open(fileobj=self.archive.extractfile(name))  # noqa: SIM115
        self.files = {member.name.removeprefix("./"): member for member in self.layer}

    def _json(self, name: str) -> Any:
        return json.loads(self._bytes(self.archive, name))

    def read(self, name: str) -> bytes:
        return self._bytes(self.layer, self.files[name].name)

    @staticmethod
    def _bytes(archive: tarfile.TarFile, name: str) -> bytes:
        opened = archive.extractfile(name)
        assert opened is not None
        return opened.read()


@pytest.fixture(scope="module", params=MACHINES)
def arch(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(arch: str, tmp_path_factory: pytest.TempPathFactory) -> _Image:
    if arch == "amd64":
        return _Image(package.built_image())
    place = str(tmp_path_factory.mktemp(arch))
    quickly = ("env", "DEB_COMPRESSION=zstd", "DEB_LEVEL=3", "IMAGE_LEVEL=1", f"DEB_ARCH={arch}")
    return _Image(Path(package.run(*quickly, "sh", str(package.BUILD_IMAGE), place).strip()))


def test_image_is_for_its_architecture_and_says_how_it_is_started(image: _Image, arch: str) -> None:
    settings = image.settings["config"]
    assert (image.settings["os"], image.settings["architecture"]) == ("linux", arch)
    assert (settings["User"], settings["Cmd"]) == ("8472:8472", ["flanpyd"])
    assert settings["Labels"]["org.opencontainers.image.version"] == __version__
    libraries = {name for name in image.files if name.endswith(".so") and "/opt/flanpy/" in f"/{name}"}
    assert any(f"{MACHINES[arch]}-linux-gnu.so" in name for name in libraries)
    other = next(machine for machine in MACHINES.values() if machine != MACHINES[arch])
    assert not any(f"{other}-linux-gnu" in name for name in image.files)
    assert f"usr/lib/{MACHINES[arch]}-linux-gnu/libc.so.6" in image.files


def test_image_is_for_one_python_which_is_there(image: _Image) -> None:
    tag = f"cpython-3{package.minor()}"
    tagged = [name for name in image.files if ".cpython-" in name and name.startswith("opt/")]
    assert tagged
    assert all(tag in name for name in tagged)
    assert f"usr/bin/python3.{package.minor()}" in image.files
    assert sum(member.size for member in image.files.values()) < 130e6


def test_only_setpriv_gives_capabilities_and_no_file_another_user(image: _Image) -> None:
    with_them = [name for name, member in image.files.items() if _SETPRIV in member.pax_headers]
    assert with_them == ["usr/bin/setpriv"]
    assert [name for name, member in image.files.items() if member.isfile() and member.mode & 0o6000] == []
    own = {name for name, member in image.files.items() if member.uid != 0}
    assert own == {"var/lib/flanpy", "run/flanpy", "run/flannel"}


def test_papers_of_all_that_is_in_it_come_along(image: _Image) -> None:
    papers = "usr/share/doc/flanpy"
    bill_of(image.read(f"{papers}/sbom.cdx.json"), image.read(f"{papers}/NOTICES").decode())
    assert f"{papers}/LICENSE" in image.files
    packages = [name for name in image.files if name.startswith("var/lib/dpkg/status.d/")]
    assert len(packages) > 20
    for name in packages:
        # Some have those of another package of the same source, by a link.
        paper = name.rpartition("/")[2]
        assert f"usr/share/doc/{paper}" in image.files, paper


def test_programs_of_the_image_for_arm64_run(image: _Image, arch: str, tmp_path: Path) -> None:
    if arch == "amd64":
        return  # the engines run it
    (name,) = image.manifest["Layers"]
    image.archive.extract(image.archive.getmember(name), tmp_path / "packed")
    package.run("tar", "-x", "-f", str(tmp_path / "packed" / name), "-C", str(tmp_path))
    qemu = package.run("sh", str(PROJECT_ROOT / "integration/pythons/arm64.sh")).strip() + "/bin/qemu"
    python = f"usr/bin/python3.{package.minor()}"
    site = "import sys; sys.path.insert(0, sys.argv.pop(1))"
    flanpyd = f"{site}; from flanpy.daemon.main import main; raise SystemExit(main())"
    for words, said in {
        (python, "-I", "-S", "-c", flanpyd, f"{tmp_path}/opt/flanpy/lib/python3/site-packages", "--version"):
            f"flanpyd {__version__}",
        ("usr/bin/ip", "-V"): "ip utility",
        # Their libraries are found; what they ask first of the kernel is not what qemu-user knows.
        ("usr/sbin/nft", "--version"): "etlink",
        ("usr/sbin/iptables", "--version"): "nft: Protocol not supported",
        ("usr/bin/setpriv", "--version"): "setpriv ",
    }.items():  # fmt: skip
        program = tmp_path / words[0]
        argv = [qemu, "-L", str(tmp_path), "-0", words[0], str(program.resolve()), *words[1:]]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
        assert said in done.stdout + done.stderr
