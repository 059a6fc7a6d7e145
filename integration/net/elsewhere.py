"""Owns running a function in a child of ours that has other mounts than we have, and what came of it.

The child is forked, so that nothing here changes; it says what the function returned, or the error it raised, as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_CLONE_NEWNS = 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)


class Said:
    """The answer of a child: the `value` that it returned, or the `error` that it raised, as `Kind: text`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.value: Any = document.get("value")
        self.error = str(document.get("error", ""))


def forked(work: Callable[[], object]) -> tuple[int, int]:
    """Run the work in a child; return the child's pid, and a descriptor that gives its answer."""
    mine, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        return child, mine
    os.close(mine)
    try:
        said: dict[str, Any] = {"value": work()}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is to be told
        said = {"error": f"{type(error).__name__}: {error}"}
    with os.fdopen(theirs, "w") as out:
        json.dump(said, out, default=str)
    sys.stdout.flush()
    os._exit(0)


def answer(child: int, descriptor: int) -> Said:
    """Wait for the child's end and return its answer."""
    with os.fdopen(descriptor) as said:
        text = said.read()
    os.waitpid(child, 0)
    return Said(json.loads(text))


def apart(*, mounts: Sequence[Sequence[str]] = (), work: Callable[[], object]) -> Said:
    """Run the work in a mount namespace of its own, after these commands of mount(8)."""

    def mounted() -> object:
        if _libc.unshare(_CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        for words in mounts:
            subprocess.run(["mount", *words], check=True)
        return work()

    return answer(*forked(mounted))


def within(namespace: Path, work: Callable[[], object]) -> Callable[[], object]:
    """The same work in the mount namespace of that file; to be done in a child."""

    def entered() -> object:
        descriptor = os.open(namespace, os.O_RDONLY)
        if _libc.setns(descriptor, _CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(descriptor)
        return work()

    return entered
