"""The rpm of this machine, brought to a booted host: no tree of a system with RPM can be had without its archives.

What the package requires is not asked for, as no such package is there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from integration.hosts.systemd.host import SystemdHost

PROGRAM = Path("/usr/bin/rpm")


def lay(directory: Path) -> Path:
    """Copy rpm with its libraries and settings to a tree that a host has over its own."""
    told = subprocess.run(["ldd", str(PROGRAM)], capture_output=True, text=True, timeout=60, check=True)
    for place in (PROGRAM, *map(Path, re.findall(r"=> (/\S+)", told.stdout))):
        # Of another C library than the host's own nothing would start.
        if not re.match(r"lib(c|m)\.so", place.name):
            target = directory / "usr" / place.resolve().relative_to("/usr").with_name(place.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(place, target)
    shutil.copytree("/usr/lib/rpm", directory / "usr/lib/rpm", symlinks=True)
    return directory


def rpm(host: SystemdHost, *words: str) -> str:
    """Run rpm on the host."""
    return host.run("rpm", *words, timeout=240.0).stdout


def install(host: SystemdHost, package: Path, *, upgrade: bool = False) -> None:
    """Install the package, or put it in the place of the one that is there."""
    shutil.copy(package, host.path("/root") / package.name)
    verb = ("-U", "--replacepkgs") if upgrade else ("-i",)
    rpm(host, *verb, "--nodeps", f"/root/{package.name}")
