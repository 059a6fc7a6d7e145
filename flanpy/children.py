"""Programs of our own that a process of ours starts, each a module of this package.

Owns how Python is started for them: isolated (-I), so that neither the directory nor the environment in which somebody
typed `flanpyd` as root says what is imported, and in `/`, so that they hold no file system.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

DIRECTORY: Final = "/"


def command_of(module: str) -> tuple[str, ...]:
    """The words that run `module`; its arguments follow. To be started in `DIRECTORY`."""
    quiet = ("-B",) if sys.dont_write_bytecode else ()
    return (sys.executable, "-I", *quiet, "-m", module)


def become(words: Sequence[str]) -> NoReturn:
    """Start this very program again in its own place, with other `words` (of the kind of `sys.orig_argv`)."""
    os.execv(sys.executable, list(words))  # noqa: S606, ourselves
