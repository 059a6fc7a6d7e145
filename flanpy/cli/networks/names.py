"""`flanpyctl names`: the containers of all hosts by name, as etcd has them.

Owns the columns and the keys of the JSON. Must not change anything.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.names import FoundContainer, called, read_names
from flanpy.cli.base.output import Table, print_as, print_table, printable


def show(arguments: Namespace, host: Host) -> Exit:
    """Print all names, or what one of them means; NOT_FOUND if nobody is called so."""
    found, unread = read_names(host)
    for line in unread:
        print(printable(f"warning: {line}"), file=sys.stderr)
    if arguments.name is not None:
        found = tuple(called(found, arguments.name))
        if not found:
            raise CommandError(
                Exit.NOT_FOUND, printable(f"no container is called '{arguments.name}': see 'flanpyctl names'")
            )
    rows = [row(one) for one in found]
    if arguments.output != "table":
        print_as(arguments.output, rows)
        return Exit.OK
    cells = (
        (r["name"], r["network"] or "-", ", ".join(r["addresses"]), r["host"], ", ".join(r["aliases"]))
        for r in rows
    )
    print_table(Table(("NAME", "NETWORK", "ADDRESSES", "HOST", "ALIASES"), tuple(cells)))
    return Exit.OK


def row(one: FoundContainer) -> dict[str, Any]:
    """Return a container as `names -o json` has it; `network` is "" on the flat overlay."""
    return {"name": one.box.name, "network": one.network, **one.document()}
