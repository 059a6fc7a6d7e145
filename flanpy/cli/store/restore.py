"""`flanpyctl store restore`: a backup in the place of the embedded store's file."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.errors import AlreadyRunning


def restore(arguments: Namespace, host: Host) -> Exit:
    """Replace the file; CONFLICT while the store runs. Nothing is changed before the backup was checked."""
    from flanpy.storeserver.backup import restore as put_back

    data = Path(arguments.data_dir)
    if not data.is_dir():
        raise CommandError(
            Exit.NOT_FOUND, f"'{data}' is no directory of a store: name one with --data-dir, or make it"
        )
    try:
        state, kept = put_back(Path(arguments.file), data)
    except AlreadyRunning:
        raise CommandError(
            Exit.CONFLICT, f"the store in '{data}' runs: systemctl stop flanpy-store, then restore again"
        ) from None
    print(f"restored: revision {state.revision}, generation {state.generation}")
    if kept is not None:
        print(printable(f"the file before is kept: {kept}"))
    print("next: systemctl start flanpy-store")
    return Exit.OK
