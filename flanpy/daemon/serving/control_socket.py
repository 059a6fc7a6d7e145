"""The control socket in the run directory: made at start, and made again after a deletion.

A clean-up of /run deletes it easily, and nothing else reports the faults of a running daemon. Another socket in its
place is left alone: the lock was then deleted with ours, and two daemons would take it from each other without end.
"""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from flanpy.log import get_logger

if TYPE_CHECKING:
    from aiohttp.web import Application, AppRunner

log = get_logger()


class ControlSocket:
    """Serves `app` at `path`."""

    def __init__(self, app: Application, path: Path) -> None:
        self._app = app
        self._path = path
        self._runner: AppRunner | None = None

    async def is_gone(self) -> bool:
        """Report whether the socket was made and no longer exists; checks in a worker thread, as disks may hang."""
        return self._runner is not None and not await asyncio.to_thread(_is_socket, self._path)

    async def start(self) -> AppRunner:
        """Listen, the first time or again; connections that there are stay. Raises HostError."""
        from flanpy.status.http import server  # noqa: PLC0415, see listeners

        if self._runner is None:
            self._runner = await server.serve_unix(self._app, self._path)
        else:
            await server.listen_unix(self._runner, self._path)
            log.warning("control_socket_remade", path=self._path)
        return self._runner


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False
