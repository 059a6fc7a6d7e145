"""Restarting Docker: whether policy and circumstances allow it, doing it, and waiting until it answers again.

Owns the one place where Docker is restarted. How is a command of the operator's choosing, run without a shell.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from flanpy.docker.client import Container, Docker
from flanpy.docker.facts import DockerFacts
from flanpy.errors import DockerError, DockerUnreachable

_POLL_S: Final = 0.2
_RESET_S: Final = 10.0


class RestartPolicy(Enum):
    """The rule for restarting Docker to make it take a new daemon.json."""

    NEVER = "never"
    IF_IDLE = "if-idle"
    ALWAYS = "always"


class Choice(Enum):
    """The decision about a restart. The value is what `-o json` prints."""

    NOT_NEEDED = "not-needed"
    NOT_RUNNING = "docker-not-running"
    BY_POLICY = "left-by-policy"
    VOID = "void-by-live-restore"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class How:
    """The operator's part: the command that restarts Docker, and the seconds it may take until Docker answers."""

    command: str
    timeout: float


def choose(
    found: DockerFacts | None, policy: RestartPolicy, *, needed: bool, for_bridge: bool = True
) -> Choice:
    """Pure. With live-restore and a container running Docker keeps its old network: a restart would be for nothing.

    It is not where the bridge is right already, and only other settings wait for it.
    """
    if found is None:
        return Choice.NOT_RUNNING
    if not needed:
        return Choice.NOT_NEEDED
    if policy is RestartPolicy.NEVER:
        return Choice.BY_POLICY
    if for_bridge and found.live_restore and found.running:
        return Choice.VOID
    if policy is RestartPolicy.IF_IDLE and found.running:
        return Choice.BY_POLICY
    return Choice.RESTART


def stopped_by(docker: Docker, found: DockerFacts | None) -> tuple[Container, ...]:
    """The containers that a restart would stop. Raises DockerUnreachable."""
    return docker.running() if found is not None and not found.live_restore else ()


def restart(how: How) -> None:
    """Run the command to its end. Raises DockerError."""
    try:
        words = shlex.split(how.command)
    except ValueError as cause:
        raise DockerError(f"docker-restart-command '{how.command}' cannot be read: {cause}") from cause
    if not words:
        raise DockerError("docker-restart-command is empty: say how Docker is restarted")
    if Path(words[0]).name == "systemctl":
        # A dockerd that has just failed several times is not started again without this.
        _run([words[0], "reset-failed", *words[2:]], _RESET_S)
    code, said = _run(words, how.timeout)
    if code:
        raise DockerError(f"'{how.command}' ended with {code}: {said or 'see the log of dockerd'}")


def wait_for(
    socket: Path, timeout: float, good: Callable[[DockerFacts], bool], *, ended: Callable[[], bool]
) -> DockerFacts:
    """The first look that is `good`, or that is not the old process's, which has `ended`. Raises DockerUnreachable."""
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        docker = Docker(socket, deadline=max(1.0, min(5.0, left)))
        try:
            found = docker.look()
            if good(found) or left <= 0 or ended():
                return found
        except DockerError as error:  # no answer yet, or one of a Docker that is half up
            if left <= 0:
                raise DockerUnreachable(f"{error} (waited {timeout:g} s)") from error
        finally:
            docker.close()
        time.sleep(_POLL_S)


def _run(words: list[str], timeout: float) -> tuple[int, str]:
    """Exit code and the last line said. Output goes by a file of its own: a dockerd left behind would hold a pipe."""
    import tempfile  # noqa: PLC0415 - only a restart needs it

    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as cause:
            raise DockerError(f"'{shlex.join(words)}' did not end in {timeout:g} s: see its log") from cause
        except OSError as cause:
            raise DockerError(
                f"cannot run '{words[0]}': {cause.strerror}; correct --docker-restart-command"
            ) from cause
        output.seek(0)
        lines = output.read().decode(errors="replace").split("\n")
    return done.returncode, next((line.strip() for line in reversed(lines) if line.strip()), "")
