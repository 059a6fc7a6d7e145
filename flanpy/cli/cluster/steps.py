"""The steps of a command that sets a host up: each is done if it is missing, and said.

Owns the telling, the services, the wait for readiness and the call of Docker's wiring. A step that is done already is
kept: so a run that was cut off is continued by running the command again.
"""

from __future__ import annotations

import subprocess
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.cli.base.waiting import is_ready, waited
from flanpy.cli.cluster import places
from flanpy.errors import ControlError, DockerError, FlanpyError
from flanpy.files import atomic

_DEADLINE_S: Final = 150


@dataclass(slots=True)
class Steps:
    """The steps so far; `tells` them as they are done, `dry` does none."""

    dry: bool
    tells: bool
    done: list[dict[str, str]] = field(default_factory=list)

    def take(self, text: str, do: Callable[[], object], *, needed: bool = True) -> None:
        """Do a step if it is needed, and say so."""
        if needed and not self.dry:
            do()
        self.note(text, "keep" if not needed else "would" if self.dry else "done")

    def note(self, text: str, verdict: str) -> None:
        """Say how a step ended."""
        self.done.append({"step": text, "verdict": verdict})
        if self.tells:
            print(printable(f"{verdict:<6} {text}"), flush=True)

    @property
    def changed(self) -> bool:
        """Tell whether a step was needed."""
        return any(one["verdict"] != "keep" for one in self.done)


def set_variable(steps: Steps, path: Path, name: str, value: str) -> None:
    """Set a variable in a service's environment file."""
    steps.take(
        f"{name}={value} in {path}",
        lambda: atomic.write(path, places.with_variable(path, name, value), mode=0o640),
        needed=not places.has_variable(path, name, value),
    )


def start(steps: Steps, unit: str, *, again: bool) -> None:
    """Enable a unit and let it run; with `again` it starts again with its new settings."""
    runs = _is(unit, "is-active") and _is(unit, "is-enabled")
    verb = "restart" if again and _is(unit, "is-active") else "start"

    def do() -> None:
        systemctl("enable", "--quiet", unit)
        systemctl(verb, unit)

    steps.take(f"{unit} is enabled and runs", do, needed=again or not runs)


def stop(unit: str) -> None:
    """Disable a unit and end it."""
    systemctl("disable", "--now", "--quiet", unit)


def runs(unit: str) -> bool:
    """Tell whether a unit runs."""
    return _is(unit, "is-active")


def _is(unit: str, question: str) -> bool:
    return _run("systemctl", "--quiet", question, unit).returncode == 0


def systemctl(*words: str) -> None:
    """Run systemctl. Raises `CommandError` with what it says."""
    done = _run("systemctl", *words)
    if done.returncode != 0:
        told = " ".join(done.stderr.split()) or "it says nothing"
        raise CommandError(
            Exit.FAILURE, f"'systemctl {' '.join(words)}' failed: {told}; see 'journalctl -u {words[-1]}'"
        )


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(Exit.FAILURE, f"cannot run '{' '.join(words)}': {error}") from error


def wait_ready(steps: Steps, host: Host, timeout: float) -> None:
    """Wait until flanpyd is ready. UNHEALTHY after `timeout` seconds."""

    def do() -> None:
        if not _is_ready(host, timeout):
            raise CommandError(
                Exit.UNHEALTHY,
                f"flanpyd is not ready after {timeout:g} s: see 'flanpyctl status', then run this command again",
            )

    steps.take("flanpyd is ready", do, needed=not _is_ready(host, 0.0))


def _is_ready(host: Host, timeout: float) -> bool:
    with suppress(ControlError):
        return is_ready(waited(host.control, timeout))
    return False


def wire_docker(steps: Steps, host: Host, arguments: Namespace) -> None:
    """Give Docker the subnet, if there is a Docker. What stands in the way is told, and fails nothing."""
    text = "Docker is on this host's subnet"
    if arguments.no_docker or not host.settings.docker.socket.exists():
        steps.note(f"{text}: left out", "keep")
        return
    stood = _is_wired(host)
    if steps.dry:
        steps.note(text, "keep" if stood else "would")
        return
    from flanpy.cli.docker.docker import apply

    words = {"docker_restart": ["always" if arguments.yes else "if-idle"], "keep_ip_masq": False,
             "before_start": False, "output": "table"}  # fmt: skip
    asked = Namespace(**{**vars(arguments), **words})
    try:
        with redirect_stdout(StringIO()):
            apply(asked, Host(asked))
    except (CommandError, DockerError) as error:
        steps.note(f"{text}: not yet: {error}", "later")
        return
    if _is_wired(host):
        steps.note(text, "keep" if stood else "done")
    else:
        steps.note(
            f"{text}: not before containers are stopped: flanpyctl docker apply --restart always", "later"
        )


def _is_wired(host: Host) -> bool:
    """Report whether Docker runs on this host's subnet."""
    from flanpy.cli.docker.docker import status

    asked = Namespace(**{**vars(host.arguments), "keep_ip_masq": False, "output": "json"})
    try:
        with redirect_stdout(StringIO()):
            return status(asked, Host(asked)) is Exit.OK
    except FlanpyError:
        return False
