"""`flanpyctl config show`: settings with their origins.

Of the running daemon if there is one, else (or with `--local`) what a daemon started now with this environment and file
would use. `-o json` is a list of `{"name", "value", "origin"}`; secrets are masked. `flanpyctl config env` prints the
environment file of the service.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_table
from flanpy.errors import ControlUnreachable


def show(arguments: Namespace, host: Host) -> Exit:
    """Print every option, and name what is set to no effect."""
    for warning in host.settings.warnings:
        print(f"flanpyctl: {warning}", file=sys.stderr)
    options = _local(host) if arguments.local else _effective(host)
    if arguments.output != "table":
        print_as(arguments.output, options)
        return Exit.OK
    rows = tuple((one["name"], str(one["value"]), str(one["origin"])) for one in options)
    styles = {number: "bold" for number, row in enumerate(rows) if row[2] != "default"}
    print_table(Table(("NAME", "VALUE", "ORIGIN"), rows, styles))
    return Exit.OK


def env(_arguments: Namespace, _host: Host) -> Exit:
    """Print the environment file."""
    from flanpy.config.template import environment_file

    print(environment_file(), end="")
    return Exit.OK


def _effective(host: Host) -> list[Mapping[str, Any]]:
    try:
        return list(host.control.get("config"))
    except ControlUnreachable as error:
        print(f"{error}; these are the settings of one that is started now", file=sys.stderr)
        return _local(host)


def _local(host: Host) -> list[Mapping[str, Any]]:
    from flanpy.config.loading import describe

    return [one._asdict() for one in describe(host.settings)]
