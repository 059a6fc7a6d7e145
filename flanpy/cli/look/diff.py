"""`flanpyctl diff`: what the daemon's next pass would change.

`-o json` is `/v1/diff` unchanged: `trusted`, `lines`, `kinds`, `held`, `held_lines`, `conflicts`.
"""

from __future__ import annotations

from argparse import Namespace

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as, printable


def show(arguments: Namespace, host: Host) -> Exit:
    """Print one shell line a change; what keeps a pass from making them comes as comments, so it stays a script."""
    said = host.control.get("diff")
    if arguments.output != "lines":
        print_as(arguments.output, said)
        return Exit.OK
    if not said.get("trusted"):
        print("# network config, own lease or underlay are not known yet: see 'flanpyctl status'")
    if said.get("held"):
        print(f"# held: {printable(said['held'])}")
    for line in said.get("held_lines", ()):
        print(f"# held: {printable(line)}")
    for conflict in said.get("conflicts", ()):
        print(f"# conflict: {printable(conflict)}")
    for line in said.get("lines", ()):
        print(printable(line))
    if not said.get("lines"):
        print("# nothing to change")
    return Exit.OK
