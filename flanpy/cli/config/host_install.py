"""`flanpyctl host install`: units, user and directories for a flanpy that pip or pipx installed.

Owns the order of the steps. Enables and starts nothing, as the package does: a daemon that was not told its etcd has
nothing to do. May be run again at any time; what is right already is left alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from argparse import Namespace
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.config import host_program
from flanpy.cli.config.host_files import DEFAULTS, HostFile, wanted
from flanpy.files import atomic

_DEADLINE_S: Final = 120
_UNITS: Final = PurePosixPath("/etc/systemd/system")
_NEXT: Final = f"next: name your etcd in {DEFAULTS}, then 'systemctl enable --now flanpyd'"


def install(arguments: Namespace, _host: Host) -> Exit:
    """Write what is missing or differs, or take it away, and say each file."""
    if arguments.uninstall:
        return _uninstall(dry_run=arguments.dry_run)
    files = wanted(host_program.scripts())
    if arguments.dry_run:
        for file in files:
            print(_verdict(file), file.place)
        return Exit.OK
    _need_root()
    for file in files:
        verdict = _verdict(file)
        if verdict not in {"unchanged", "kept"}:
            atomic.write(Path(file.place), file.content, mode=file.mode)
        print(verdict, file.place)
    _settle()
    print(_NEXT)
    return Exit.OK


def _verdict(file: HostFile) -> str:
    """Return the word for what an installation does with a file."""
    try:
        present = Path(file.place).read_bytes()
    except OSError:
        return "write"
    if file.is_the_operators:
        return "kept"
    return "unchanged" if present == file.content else "replace"


def _uninstall(*, dry_run: bool) -> Exit:
    files = [file for file in wanted(Path("/")) if not file.is_the_operators]
    there = [file.place for file in files if Path(file.place).exists()]
    if not dry_run:
        _need_root()
        if _is_booted():
            # A path unit first: it would start its service again.
            units = [place.name for place in there if place.parent == _UNITS]
            for unit in sorted(units, key=lambda name: not name.endswith(".path")):
                _run("systemctl", "--quiet", "disable", "--now", unit, check=False)
    for place in there:
        print("remove", place)
        if not dry_run:
            _remove(place)
    if not dry_run:
        _forget_run()
    print(f"left: {DEFAULTS}, /etc/flanpy, /var/lib/flanpy, the user flanpy, and the overlay in the kernel,")
    print("which 'flanpyctl cleanup' removes")
    return Exit.OK


def _remove(place: PurePosixPath) -> None:
    """Remove a file, and directories that only it made: drop-ins of others' units, our own share."""
    Path(place).unlink()
    if place.parent.name.endswith(".d") or place.parent.name == "flanpy":
        with suppress(OSError):
            Path(place.parent).rmdir()


def _forget_run() -> None:
    """Remove what the units keep over a restart of the daemon; flannel's directory only if nobody has a file in it."""
    for directory in ("/run/flanpy", "/run/flanpy-docker"):
        shutil.rmtree(directory, ignore_errors=True)
    with suppress(OSError):
        Path("/run/flannel").rmdir()
    if _is_booted():
        _run("systemctl", "daemon-reload")


def _settle() -> None:
    """Make the user and the directories, and tell those who read the files."""
    _run("systemd-sysusers", "/etc/sysusers.d/flanpy.conf")
    _run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/flanpy.conf")
    if not _is_booted():
        return  # an image is being made
    _run("systemctl", "daemon-reload")
    _run("/lib/systemd/systemd-sysctl", "/etc/sysctl.d/60-flanpy.conf", check=False)
    _run("udevadm", "control", "--reload", check=False)


def _need_root() -> None:
    if os.geteuid() != 0:
        raise CommandError(Exit.FAILURE, "this needs root: units and users are the whole host's (sudo)")
    if not any(Path(place, "systemctl").exists() for place in ("/usr/bin", "/bin")):
        raise CommandError(
            Exit.FAILURE, "this host has no systemd: run flanpyd by your own supervisor, as root"
        )


def _is_booted() -> bool:
    return Path("/run/systemd/system").is_dir()


def _run(*argv: str, check: bool = True) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)  # noqa: S603, words of ours
    except (OSError, subprocess.TimeoutExpired) as cause:
        if check:
            raise CommandError(Exit.FAILURE, f"cannot run '{' '.join(argv)}': {cause}") from cause
        return
    if check and done.returncode != 0:
        told = done.stderr.strip() or "it says nothing"
        raise CommandError(Exit.FAILURE, f"'{' '.join(argv)}' ended with {done.returncode}: {told}")
