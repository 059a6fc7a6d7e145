"""The dockerd of this host as a program: its process, the flags it is started with, and whether it would take a file.

Owns what /proc, systemd and the binary itself tell. Never asks Docker's API: to connect to a socket of systemd would
start Docker, and at boot it waits for us.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from flanpy.docker.effective import by_flags
from flanpy.docker.merge import lies_in
from flanpy.docker.unit import unit_command
from flanpy.errors import DockerConflict, DockerError

UNIT: Final = "docker.service"
PIDFILE: Final = Path("/run/docker.pid")
SOCKET: Final = Path("/run/docker.sock")

_SYSTEMD: Final = Path("/run/systemd/system")
_DEADLINE_S: Final = 30.0
_NOBODY: Final = 65534


@dataclass(frozen=True, slots=True)
class Started:
    """The present or next start of dockerd. `where` names the place that an operator would edit, for people."""

    argv: tuple[str, ...] = ()
    where: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        return self.argv[1:]

    @property
    def program(self) -> str | None:
        return self.argv[0] if self.argv else shutil.which("dockerd", path=_search_path())


def running_pid(settings: dict[str, Any]) -> int | None:
    """The process, by the pid file that daemon.json's `settings` name or Docker's usual one, else by systemd."""
    pid = pid_by_file(settings)
    return _pid_by_systemd() if pid is None and has_systemd() else pid


def pid_by_file(settings: dict[str, Any]) -> int | None:
    """The same without asking systemd, which takes a process."""
    named = settings.get("pidfile")
    paths = (Path(named) if isinstance(named, str) and named else PIDFILE, PIDFILE)
    for path in dict.fromkeys(paths):
        with suppress(OSError, ValueError):
            pid = int(path.read_text())
            if is_dockerd(pid):
                return pid
    return None


def is_dockerd(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().startswith("dockerd")
    return False


def started_at(pid: int) -> float | None:
    """Return when the process began, in seconds of the wall clock; None if it is gone."""
    with suppress(OSError, ValueError, IndexError):
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - age
    return None


def has_systemd() -> bool:
    """Report whether systemd runs this host (sd_booted(3))."""
    return _SYSTEMD.is_dir()


def is_systemds(socket: Path) -> bool:
    """Report whether `socket` is the one that systemd may hold for a Docker that does not run (docker.socket)."""
    return has_systemd() and socket.resolve() == SOCKET


def starts_docker(socket: Path, pid: int | None) -> bool:
    """Report whether a connection might start a Docker that does not run, which at boot would wait for us."""
    return (
        pid is None and is_systemds(socket) and _systemctl("is-active", "docker.socket").strip() == "active"
    )


def started(pid: int | None) -> Started:
    """Return the start of the next dockerd: by its unit, else by the running one's command line."""
    if has_systemd():
        argv, where = unit_command(_systemctl("cat", UNIT))
        if argv:
            return Started(argv, where)
    if pid is not None and (argv := _command_line(pid)):
        return Started(argv, f"the command line of dockerd (pid {pid})")
    return Started()


def running_flags(settings: dict[str, Any]) -> tuple[str, ...]:
    """Return the flags of the running dockerd, none if there is none. Costs no process: for looks again and again."""
    pid = pid_by_file(settings)
    return _command_line(pid)[1:] if pid is not None else ()


def _command_line(pid: int) -> tuple[str, ...]:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        return tuple(words[:-1])
    return ()


def refuse_conflicts(how: Started, keys: Sequence[str], config_file: Path) -> None:
    """Raises DockerConflict for a flag that dockerd does not take beside `keys` in its file, or for another file."""
    for position, word in enumerate(how.flags):
        name, _, value = word.partition("=")
        flag = name.lstrip("-")
        if not name.startswith("-"):
            continue
        if flag in keys:
            raise DockerConflict(
                f"{how.where} has --{flag}, and dockerd does not start with '{flag}' both as a flag and in its file: "
                "take the flag out"
            )
        if name in {"-b", "--bridge"} and "bip" in keys:
            raise DockerConflict(
                f"{how.where} has --bridge, which dockerd takes only without bip: take it out, or use --mode network"
            )
        if flag == "config-file":
            other = Path(value or " ".join(how.flags[position + 1 : position + 2]))
            if not _same_file(other, config_file):
                raise DockerConflict(
                    f"{how.where} has --config-file {other}, so dockerd does not read {config_file}: "
                    f"say --docker-config-file {other}"
                )


def refuse_outside(how: Started, subnet: IPv4Network) -> None:
    """Raises DockerConflict for a flag whose addresses must lie in docker0's subnet, and do not."""
    told = by_flags(how.flags)
    for flag in ("fixed-cidr", "default-gateway"):
        text = told.get(flag)
        if text and not lies_in(text, subnet):
            raise DockerConflict(
                f"{how.where} has --{flag} {text}, which is not in this host's subnet {subnet}: take it out"
            )


def refuse_unusable(how: Started, content: bytes) -> str:
    """Have dockerd judge a daemon.json; '' if it would take it, else why that is not known. Raises DockerError.

    Versions from 23 have --validate. Older ones are started as nobody: they read their file and then stop, as they are
    not root, before they create anything. The content goes by memory, for it may hold passwords.
    """
    program = how.program
    if program is None:
        return "dockerd is not installed here, so nobody has checked the file"
    memory = os.memfd_create("daemon.json")
    try:
        os.write(memory, content)
        argv = [program, *_without_config(how.flags), f"--config-file=/proc/self/fd/{memory}"]
        code, said = _as_nobody([*argv, "--validate"], memory)
        if code and "unknown flag: --validate" in said:
            code, said = _as_nobody(argv, memory)
            code = 0 if "needs to be started with root" in said else code
    except (OSError, subprocess.SubprocessError) as cause:
        return f"{program} could not be asked about the file: {cause}"
    finally:
        os.close(memory)
    if code and "configur" in said:
        raise DockerError(f"{program} would not start with this file: {_complaint(said, memory)}")
    return f"{program} said about the file: {_complaint(said, memory)}" if code else ""


def _as_nobody(argv: list[str], memory: int) -> tuple[int, str]:
    """Exit code and output. Raises OSError or SubprocessError; never runs as root."""
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()}
    done = subprocess.run(  # noqa: S603 - the dockerd of this host, by its unit
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_DEADLINE_S,
        pass_fds=(memory,),
        cwd="/",
        env={"PATH": _search_path(), "HOME": "/nonexistent"},
        check=False,
        **identity,
    )
    return done.returncode, done.stdout + done.stderr


def _complaint(said: str, memory: int) -> str:
    lines = [line for line in said.splitlines() if line.strip()] or ["nothing"]
    text = next((line for line in lines if "configur" in line), lines[-1])
    return text.replace(f"/proc/self/fd/{memory}", "daemon.json")


def _without_config(flags: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in flags:
        if skip:
            skip = False
        elif word in {"--config-file", "-config-file"}:
            skip = True
        elif not word.lstrip("-").startswith("config-file="):
            kept.append(word)
    return kept


def _same_file(one: Path, other: Path) -> bool:
    return one == other or one.resolve() == other.resolve()


def _pid_by_systemd() -> int | None:
    with suppress(ValueError):
        pid = int(_systemctl("show", "--property=MainPID", "--value", UNIT))
        return pid if pid and is_dockerd(pid) else None
    return None


def _systemctl(*words: str) -> str:
    try:
        return subprocess.run(  # noqa: S603 - words of ours
            ["systemctl", *words],  # noqa: S607 - where it is depends on the distribution
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DEADLINE_S,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _search_path() -> str:
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin:/usr/local/sbin"
