"""`python -m integration soak`: the words typed, and what is printed and written."""

from __future__ import annotations

import argparse
from pathlib import Path

from integration.drivers.soak import report
from integration.drivers.soak.run import soak
from integration.hosts.daemon import as_program
from integration.net.namespaces import LabError

RESULTS = Path("build/soak")


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--peers", type=int, default=1000, help="simulated peers (1000)")
    parser.add_argument("--hosts", type=int, default=1, help="real daemons (1)")
    parser.add_argument(
        "--pace", type=float, default=0.01, help="share of the peers that changes a second (0.01)"
    )
    parser.add_argument("--to", type=Path, default=RESULTS, help=f"where the reports go ({RESULTS})")
    parser.add_argument("--program", help="what runs in flanneld's place (flanpyd)")
    parser.add_argument("--inside", action="store_true", help="also tell what the daemons' heaps are made of")
    parser.set_defaults(command=_soak)


def _soak(typed: argparse.Namespace) -> int:
    if typed.inside and typed.program:
        raise LabError("--inside looks into flanpyd's heap and no other program's: leave --program out")
    typed.to.mkdir(parents=True, exist_ok=True)
    found = soak(
        minutes=typed.minutes,
        peers=typed.peers,
        hosts=typed.hosts,
        pace=typed.pace,
        say=lambda line: print(line, flush=True),
        program=as_program(typed.program),
        window=typed.to.absolute() if typed.inside else None,
    )
    report.write(found, typed.to / "soak.json")
    print(report.table(found))
    report.draw(found, typed.to / "soak.svg")
    print(f"written: {typed.to}/soak.json and .svg")
    return 1 if found.growing else 0
