"""`flanpyctl peers`: how this host reaches each other. `-o json` is the daemon's `/v1/peers` unchanged."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from typing import Any

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as, print_json, print_table
from flanpy.cli.look.peer_rows import name_of, table_of


def show(arguments: Namespace, host: Host) -> Exit:
    """Print the peers, once or on every change."""
    if not arguments.watch:
        _print(host.control.get("peers"), arguments.output)
        return Exit.OK
    from flanpy.cli.base.following import CLEAR, changes

    for said in changes(lambda: host.control.get("peers")):
        if sys.stdout.isatty() and arguments.output in {"table", "wide"}:
            sys.stdout.write(CLEAR)
        elif arguments.output == "yaml":
            sys.stdout.write("---\n")
        _print(said, arguments.output, compact=True)
        sys.stdout.flush()
    return Exit.OK


def _print(said: Any, output: str, *, compact: bool = False) -> None:
    peers = said.get("peers", ())
    match output:
        case "json":
            print_json(said, compact=compact)
        case "yaml":
            print_as("yaml", said)
        case "name":
            sys.stdout.writelines(f"{name_of(peer)}\n" for peer in peers)
        case _:
            print_table(table_of(peers, now=time.time(), wide=output == "wide"))
