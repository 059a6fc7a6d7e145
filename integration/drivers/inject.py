"""`python -m integration inject`: one fault of the catalogue in a lab that was left up, until Enter is pressed."""

from __future__ import annotations

import argparse
import sys

from integration.faults.catalogue import FAULTS, PROBLEMS, fault
from integration.faults.fault import struck
from integration.hosts.left_up import StandingLab, the_lab


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--lab", type=int, help="which lab (default: the only one)")
    parser.add_argument("--host", help="which host is struck (the first)")
    parser.add_argument(
        "problem", nargs="?", help="P01 to P32, or a fault's name; without one, those there are"
    )
    parser.set_defaults(command=_inject)


def _inject(typed: argparse.Namespace) -> int:
    if typed.problem is None:
        for one in PROBLEMS:
            print(f"{one.problem}  {one.title}")
        print(f"other faults: {', '.join(one.name for one in FAULTS.values() if not one.problem)}")
        return 0
    one, lab = fault(typed.problem), StandingLab(the_lab(typed.lab))
    host = lab.host(typed.host) if typed.host else None
    with struck(one, lab, host=host) as evidence:
        print(f"{one.problem or one.name}: {one.title};"
              f" condition {one.condition or 'none'}, alert {one.alert or 'none'}")  # fmt: skip
        name = evidence.host.name
        print(f"look from {name}: python -m integration exec {name} flanpyctl doctor")
        print("Enter takes it away", flush=True)
        sys.stdin.readline()
    return 0
