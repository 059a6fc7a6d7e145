"""Options in an argparse parser, for a program that takes some of the daemon's settings beside its own arguments.

`add_arguments` declares them; after parsing, `flags_of` gives the command line that `load` understands, so that values
are parsed, checked and traced to their origin in one place.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from flanpy.config.options import BY_NAME


def add_arguments(parser: argparse._ActionsContainer, names: Iterable[str]) -> None:
    """Declare the named options, as raw texts, on a parser or an argument group."""
    for name in names:
        option = BY_NAME[name]
        parser.add_argument(
            f"--{name}",
            action="append",
            nargs="?" if option.kind.switch else None,
            const="true" if option.kind.switch else None,
            metavar=option.kind.metavar,
            help=option.help.replace("%", "%%"),
        )


def flags_of(namespace: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """The named options that were given, as `--name=value`."""
    given = ((name, getattr(namespace, name.replace("-", "_"), None)) for name in names)
    return [f"--{name}={text}" for name, texts in given for text in texts or ()]
