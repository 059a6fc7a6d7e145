"""`flanpyctl completion`: scripts for bash, zsh and fish, made from the parser by shtab."""

from __future__ import annotations

from argparse import Namespace

from flanpy.cli.commands import build
from flanpy.cli.exits import Exit
from flanpy.cli.host import Host


def show(arguments: Namespace, _host: Host) -> Exit:
    """Print the script."""
    import shtab

    print(shtab.complete(build(), arguments.shell))
    return Exit.OK
