"""`python -m integration faults`: the words typed, and what is printed.

A family is a module here with `NAMES`, `run(names, in_full=..., tell=...)`, `table(rows)` and `document(rows)`.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module

FAMILIES = ("etcd",)


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--family", choices=FAMILIES, default=FAMILIES[0], help="which faults (etcd)")
    parser.add_argument(
        "--long", action="store_true", help="as long as the issue asks: ten minutes without quorum"
    )
    parser.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="form of the figures"
    )
    parser.add_argument("names", nargs="*", metavar="FAULT", help="only these (all); `list` names them")
    parser.set_defaults(command=_faults)


def _faults(typed: argparse.Namespace) -> int:
    family = import_module(f"integration.faults.{typed.family}")
    if typed.names == ["list"]:
        print("\n".join(family.NAMES))
        return 0
    rows = family.run(
        typed.names, in_full=typed.long, tell=lambda line: print(line, file=sys.stderr, flush=True)
    )
    if typed.output == "json":
        print(json.dumps(family.document(rows), indent=2))
    else:
        sys.stdout.write(family.table(rows))
    return 0
