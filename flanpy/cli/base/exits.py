"""Exit codes of flanpyctl, and which error ends in which.

Owns the one table that scripts may rely on. Must not print or exit: `main` does.
"""

from __future__ import annotations

from enum import IntEnum

from flanpy.errors import (
    ConfigError,
    ControlUnreachable,
    DockerAbsent,
    DockerConflict,
    DockerUnreachable,
    FlanpyError,
    StoreUnavailable,
    UsageError,
)


class Exit(IntEnum):
    """The exit statuses of `flanpyctl`; stable across versions."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    UNHEALTHY = 5
    CONFLICT = 6
    REFUSED = 7


MEANINGS = """\
exit codes:
  0 ok   1 failure   2 wrong usage
  3 etcd, the daemon or Docker cannot be reached   4 not found   5 unhealthy
  6 conflict   7 refused without --force"""


class CommandError(FlanpyError):
    """A command ends with `code`; the message is its one line on standard error."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: FlanpyError) -> Exit:
    """The exit code an error ends in."""
    match error:
        case CommandError():
            return error.code
        case UsageError():
            return Exit.USAGE
        case ControlUnreachable() | StoreUnavailable() | DockerUnreachable():
            return Exit.UNREACHABLE
        case DockerAbsent():
            return Exit.NOT_FOUND
        case DockerConflict():
            return Exit.CONFLICT
        case ConfigError():
            return Exit.FAILURE
        case _:
            return Exit.FAILURE
