"""Entry point of flanpy-store: settings, lock, then the store until a signal or a fault."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Sequence
from typing import Final

from flanpy import __version__, streams
from flanpy.clock import SystemClock
from flanpy.errors import AlreadyRunning, ConfigError, FlanpyError, HostError, UsageError
from flanpy.log import configure
from flanpy.storeserver.access import Access, hashed, load_users
from flanpy.storeserver.database import Damaged
from flanpy.storeserver.lock import FILE_NAME, locked
from flanpy.storeserver.refusal import Overtaken
from flanpy.storeserver.settings import StoreSettings, load, parser
from flanpy.systemd import Notifier

EXIT_FAILURE, EXIT_USAGE, EXIT_DAMAGED, EXIT_OVERTAKEN, EXIT_BUSY, EXIT_CONFIG = 1, 2, 66, 67, 75, 78
EXIT_CODES: Final = {
    0: "stopped by a signal",
    EXIT_FAILURE: "a failure; systemd starts it again",
    EXIT_USAGE: "wrong usage",
    EXIT_DAMAGED: "the file is damaged; it is kept, and no start helps",
    EXIT_OVERTAKEN: "a newer store serves the cluster; this one is over",
    EXIT_BUSY: "another instance uses the data directory",
    EXIT_CONFIG: "a setting that cannot be used",
}
_CODES: Final[tuple[tuple[type[FlanpyError], int], ...]] = (
    (UsageError, EXIT_USAGE),
    (ConfigError, EXIT_CONFIG),
    (AlreadyRunning, EXIT_BUSY),
    (Damaged, EXIT_DAMAGED),
    (Overtaken, EXIT_OVERTAKEN),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run flanpy-store; returns its exit code."""
    streams.prepare()
    try:
        _run(sys.argv[1:] if argv is None else argv)
    except FlanpyError as error:
        sys.stderr.write(f"flanpy-store: {error}\n")
        return next((code for kind, code in _CODES if isinstance(error, kind)), EXIT_FAILURE)
    return 0


def _run(argv: Sequence[str]) -> None:
    given = parser().parse_args(argv)
    if given.version:
        sys.stdout.write(f"flanpy-store {__version__}\n")
        return
    if given.hash_password:
        sys.stdout.write(hashed(sys.stdin.readline().rstrip("\n")) + "\n")
        return
    settings = load(given, os.environ)
    access = Access(load_users(settings.users_file) if settings.users_file else ())
    configure(settings.log_format, settings.log_level)
    os.umask(0o077)
    with locked(settings.directory):
        asyncio.run(_serve(settings, access))


async def _serve(settings: StoreSettings, access: Access) -> None:
    from flanpy.storeserver.server import serve  # noqa: PLC0415, a second instance is refused before gRPC is loaded
    from flanpy.storeserver.store import Store  # noqa: PLC0415

    path = settings.directory / FILE_NAME
    try:
        store = Store(path, clock=SystemClock(), quota=settings.quota, history_s=settings.history_s)
    except sqlite3.Error as error:
        raise HostError(f"cannot open '{path}': {error}; see its rights and the space on its disk") from error
    try:
        await serve(settings, store, access, Notifier.from_environ(os.environ))
    finally:
        await store.close()
