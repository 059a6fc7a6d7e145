"""`flanpyctl reload`: make the daemon read its settings again, as SIGHUP does, and say what changed."""

from __future__ import annotations

from argparse import Namespace

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host


def reload(_arguments: Namespace, host: Host) -> Exit:
    """Print the names of the options that changed, and which of them wait for a restart."""
    answer = host.control.post("reload")
    changed, later = answer.get("changed", ()), answer.get("restart_needed", ())
    print(f"changed: {', '.join(changed)}" if changed else "nothing changed")
    if later:
        print(f"not in force before a restart of flanpyd: {', '.join(later)}")
    return Exit.OK
