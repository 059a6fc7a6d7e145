"""The first process of a host with Docker, as a program: starts dockerd when told to, and reaps what it leaves behind.

An engine whose containerd died waits for that to be reaped, and the machine's own first process may take seconds.
SIGUSR1 runs `sh SERVICE DIRECTORY exec`; SIGKILL is its end. Nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """DIRECTORY SERVICE."""
    directory, service = sys.argv[1], sys.argv[2]
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    awaited = {signal.SIGCHLD, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    Path(directory, "init.pid").write_text(str(os.getpid()))
    while True:
        if signal.sigwait(awaited) == signal.SIGUSR1:
            argv = ["sh", service, directory, "exec"]
            os.posix_spawnp("sh", argv, os.environ, setsigmask=[], setsid=True)
        _reap()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


if __name__ == "__main__":
    main()
