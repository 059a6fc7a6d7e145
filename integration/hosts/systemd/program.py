"""Owns flanpy as it is installed on a host: below /opt/flanpy with what it needs, by the system's own Python.

Made of what is installed beside the interpreter that runs the tests; nothing is fetched. Packages are built elsewhere.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from integration.net.claim import PROJECT_ROOT

HOME = Path("opt/flanpy")
PYTHON = f"/usr/bin/python3.{sys.version_info.minor}"
LIBRARY = HOME / f"lib/python3.{sys.version_info.minor}/site-packages"
INSTALL = PROJECT_ROOT / "deploy/systemd/install.sh"
_SCRIPTS = {
    "flanpyd": "flanpy.daemon.main",
    "flanpyctl": "flanpy.cli.main",
    "flanpy-store": "flanpy.storeserver.main",
}
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def lay_program(tree: Path) -> Path:
    """Put flanpy, its dependencies and its commands into `tree`; returns it."""
    library = tree / LIBRARY
    library.mkdir(parents=True)
    for found in _dependencies():
        _copy(found, library)
    shutil.copytree(PROJECT_ROOT / "flanpy", library / "flanpy", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "-s", str(tree), str(library / "flanpy")],
        check=True,
        timeout=300,
    )
    _make_environment(tree)
    return tree


def lay_service(tree: Path) -> Path:
    """Put the units and what belongs to them into `tree`; returns it."""
    subprocess.run(["sh", str(INSTALL), str(tree)], check=True, timeout=60)
    shutil.copy2(INSTALL, tree / HOME / "install.sh")
    return tree


def _dependencies() -> Iterator[Distribution]:
    """Everything that flanpy needs here, each once."""
    found: dict[str, Distribution] = {}
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    wanted = [_name(text) for text in project["dependencies"]]
    while wanted:
        name = wanted.pop()
        if name.lower() in found:
            continue
        try:
            found[name.lower()] = distribution(name)
        except PackageNotFoundError:  # needed on other systems only
            continue
        wanted += [_name(text) for text in found[name.lower()].requires or () if "extra ==" not in text]
    yield from found.values()


def _name(requirement: str) -> str:
    match = _NAME.match(requirement)
    assert match is not None, requirement
    return match[0]


def _copy(found: Distribution, library: Path) -> None:
    for file in found.files or ():
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.is_file():
            target = library / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _make_environment(tree: Path) -> None:
    """Make what `python -m venv` makes, with the commands in it and links to them."""
    (tree / HOME / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    for directory in (tree / HOME / "bin", tree / "usr/bin"):
        directory.mkdir(parents=True)
    (tree / HOME / "bin/python").symlink_to(PYTHON)
    for name, module in _SCRIPTS.items():
        script = tree / HOME / "bin" / name
        script.write_text(f"#!/{HOME}/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        script.chmod(0o755)
        (tree / "usr/bin" / name).symlink_to(f"/{HOME}/bin/{name}")
