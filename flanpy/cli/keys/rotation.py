"""`flanpyctl keys rotate`: a new WireGuard key in force, asked of the daemon."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable

DEADLINE_S: Final = 20.0
"""The daemon gives up after five seconds, and puts the old key back."""


def rotate(_arguments: Namespace, host: Host) -> Exit:
    """Change this host's key. Raises ControlError with the daemon's reason: the old key is then in force."""
    said = host.control.post("rotate", deadline=DEADLINE_S)
    print(printable(f"this host's key is {said['key']} now; it was {said['former']}"))
    return Exit.OK
