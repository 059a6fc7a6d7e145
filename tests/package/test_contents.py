"""The content of the package: everything it needs, in its place, and nothing of the place where it was built."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate.man import pages
from flanpy import __version__
from integration import package
from integration.net.claim import PROJECT_ROOT
from tests.package.notices import bill_of

# It is built first, which takes half a minute.
pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

_MINOR = package.minor()
_COMPILED = re.compile(rf"__pycache__/(.*)\.cpython-3{_MINOR}\.pyc")
_OF_BUILDING = re.compile(r"/(pip|setuptools|tests)/|\.(pyi|h|c|pyx)$|direct_url|/RECORD$")
_ASK_CLEANUP = """\
import sys
sys.path.insert(0, sys.argv[1])
import flanpy.cli.leave.cleanup
print(flanpy.cli.leave.cleanup.__file__)
"""
SITE = "opt/flanpy/lib/python3/site-packages"


@pytest.fixture(scope="module")
def tree(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "-R", str(deb), str(directory)], check=True, timeout=200)
    yield directory
    subprocess.run(["rm", "-rf", str(directory)], check=True, timeout=200)


def field(deb: Path, name: str) -> str:
    return subprocess.run(
        ["dpkg-deb", "-f", str(deb), name], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def files(tree: Path) -> set[str]:
    found = (path for path in tree.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path.relative_to(tree)) for path in found if "DEBIAN" not in path.parts}


def test_package_is_of_this_version_and_of_a_size_that_can_be_borne(deb: Path) -> None:
    assert field(deb, "Version") == __version__
    first, *_, last = (int(one.partition(".")[2]) for one in package.pythons())
    beside = " | ".join(f"python{one}" for one in reversed(package.pythons()))
    wanted = f"python3 (>= 3.{first}) | {beside}, python3 (<< 3.{last + 1}) | {beside}, "
    assert field(deb, "Depends").startswith(wanted)
    assert int(field(deb, "Installed-Size")) < 145e3


def test_compiled_libraries_are_there_for_every_python_that_flanpy_is_for(tree: Path) -> None:
    """One directory is all of theirs, and each finds it where a virtualenv's has to be."""
    tags = {one: f".cpython-{one.replace('.', '')}-" for one in package.pythons()}
    modules = {
        str(path.relative_to(tree / SITE)) for path in (tree / SITE).rglob("*.so") if "abi3" not in path.name
    }
    of_each = {one: {name.replace(tag, "-") for name in modules if tag in name} for one, tag in tags.items()}
    assert len(modules) == sum(map(len, of_each.values()))
    for one, found in of_each.items():
        assert found == of_each[f"3.{_MINOR}"], one
        assert (tree / f"opt/flanpy/lib/python{one}/site-packages/flanpy.pth").exists()


def test_programs_units_manuals_and_completion_are_in_their_places(tree: Path) -> None:
    listed = subprocess.run(
        ["sh", str(PROJECT_ROOT / "deploy/systemd/install.sh"), "--list"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.split()  # fmt: skip
    assert "/usr/lib/systemd/system/flanpyd.service" in listed
    wanted = {place.lstrip("/") for place in listed if not place.endswith(".default")}
    wanted |= {f"usr/share/man/man{name[-1]}/{name}.gz" for name in pages()}
    wanted |= {
        "usr/bin/flanpyctl",
        "usr/bin/flanpyd",
        "usr/bin/flanpy-store",
        "usr/sbin/flanpyd",
        "usr/share/bash-completion/completions/flanpyctl",
        "usr/share/zsh/vendor-completions/_flanpyctl",
        "usr/share/fish/vendor_completions.d/flanpyctl.fish",
        "etc/default/flanpyd",
        "etc/default/flanpy-store",
        "usr/share/doc/flanpy/copyright",
        "usr/share/doc/flanpy/LICENSE",
        "usr/share/doc/flanpy/changelog.gz",
    }
    assert wanted - files(tree) == set()


def test_licence_is_that_of_the_source_and_numpy_is_left_out(tree: Path) -> None:
    licence = (PROJECT_ROOT / "LICENSE").read_bytes()
    assert (tree / "usr/share/doc/flanpy/LICENSE").read_bytes() == licence
    (of_wheel,) = (tree / SITE).glob("flanpy-*.dist-info/licenses/LICENSE")
    assert of_wheel.read_bytes() == licence
    assert not (tree / SITE / "numpy").exists()


def test_notices_of_every_library_come_along_and_a_bill_of_materials(tree: Path) -> None:
    papers = tree / "usr/share/doc/flanpy"
    listed = bill_of((papers / "sbom.cdx.json").read_bytes(), (papers / "NOTICES").read_text())
    places = {path.name.partition("-")[0] for path in (tree / SITE).glob("*.dist-info")} - {"flanpy"}
    assert {name.lower().replace("_", "-") for name in places} == listed
    assert listed.isdisjoint({"pygments", "markdown-it-py", "mdurl"})


def test_settings_file_is_the_operators_and_nobody_elses_to_read(tree: Path) -> None:
    assert (tree / "DEBIAN/conffiles").read_text() == "/etc/default/flanpy-store\n/etc/default/flanpyd\n"
    for program in ("flanpyd", "flanpy-store"):
        assert (tree / "etc/default" / program).stat().st_mode & 0o777 == 0o640


def test_every_file_is_known_by_its_sum(tree: Path) -> None:
    summed = {line.split("  ", 1)[1] for line in (tree / "DEBIAN/md5sums").read_text().splitlines()}
    assert summed == {name for name in files(tree) if not (tree / name).is_symlink()}
    subprocess.run(["md5sum", "--check", "--quiet", "DEBIAN/md5sums"], cwd=tree, check=True, timeout=100)


def test_every_module_is_compiled_and_no_file_is_of_the_building(tree: Path) -> None:
    names = files(tree)
    modules = {name for name in names if name.startswith(SITE) and name.endswith(".py")}
    compiled = {name for name in names if name.endswith(".pyc")}
    assert modules == {_COMPILED.sub(r"\1.py", name) for name in compiled}
    assert [name for name in names if _OF_BUILDING.search(name)] == []


def test_nothing_in_it_names_where_it_was_built(tree: Path) -> None:
    told = subprocess.run(
        ["grep", "-rlE", f"/tmp/tmp[.]|{re.escape(str(PROJECT_ROOT))}", str(tree)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert told.stdout == ""


def test_shared_libraries_find_all_that_they_need(tree: Path) -> None:
    libraries = [str(path) for path in (tree / SITE).rglob("*.so*")]
    assert len(libraries) > 10
    told = subprocess.run(["ldd", *libraries], capture_output=True, text=True, timeout=100, check=True).stdout
    assert "not found" not in told


def test_maintainer_scripts_are_shell_that_a_plain_sh_reads(tree: Path) -> None:
    for name in ("postinst", "prerm", "postrm"):
        script = tree / "DEBIAN" / name
        assert script.stat().st_mode & 0o777 == 0o755
        subprocess.run(["dash", "-n", str(script)], check=True, timeout=60)
        assert "set -e" in script.read_text()


def test_what_a_purge_runs_needs_no_library_of_the_package(tree: Path, tmp_path: Path) -> None:
    """Only the archive is left then: it finds a module of its own, or the purge would do nothing."""
    asked = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", _ASK_CLEANUP, str(tree / "usr/share/flanpy/cleanup.pyz")],
        capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert asked.stderr == ""
    assert "cleanup.pyz/flanpy/cli/leave/cleanup.py" in asked.stdout
