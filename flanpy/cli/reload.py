"""`flanpyctl reload`: make the daemon read its settings again, as SIGHUP does, and say what changed."""

from __future__ import annotations

from argparse import Namespace

from flanpy.cli.exits import Exit
from flanpy.cli.host import Host


def reload(_arguments: Namespace, host: Host) -> Exit:
    """Print the names of the options that changed."""
    changed = host.control.post("reload").get("changed", ())
    print(f"changed: {', '.join(changed)}" if changed else "nothing changed")
    return Exit.OK
