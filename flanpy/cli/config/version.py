"""`flanpyctl version`. `-o json` is `{"version"}`."""

from __future__ import annotations

from argparse import Namespace

from flanpy import __version__
from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as


def show(arguments: Namespace, _host: Host) -> Exit:
    """Print the version; reads no settings and sends no request."""
    output = getattr(arguments, "output", "table")
    if output == "table":
        print(f"flanpyctl {__version__}")
    else:
        print_as(output, {"version": __version__})
    return Exit.OK
