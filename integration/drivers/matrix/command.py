"""`python -m integration faults`: the words typed, and what is printed.

The family etcd is a module here; the others are tests (`tested`). All of them note what became of
each fault in one report, and the table of that is printed at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from integration.drivers.matrix import tested
from integration.drivers.matrix.outcome import Outcome, exit_status, keep, read, table
from integration.net.namespaces import LabError

ETCD = "etcd"
FAMILIES = (ETCD, *tested.FAMILIES)
REPORT = Path("build/faults.jsonl")


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--family", choices=FAMILIES, help=f"which faults (all: {', '.join(FAMILIES)})")
    parser.add_argument(
        "--long", action="store_true", help="each fault in full, and all of them: ten minutes without quorum"
    )
    parser.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="form of the figures"
    )
    parser.add_argument(
        "--report", type=Path, default=REPORT, metavar="FILE", help=f"where outcomes are kept ({REPORT})"
    )
    parser.add_argument(
        "names", nargs="*", metavar="FAULT", help="only these of etcd's (all); `list` names them"
    )
    parser.set_defaults(command=_faults)


def _faults(typed: argparse.Namespace) -> int:
    if typed.names == ["list"]:
        from integration.drivers.matrix.etcd import NAMES  # noqa: PLC0415, with the lab

        print("\n".join(NAMES))
        return 0
    families = [ETCD] if typed.names else [typed.family] if typed.family else list(FAMILIES)
    typed.report.parent.mkdir(parents=True, exist_ok=True)
    typed.report.unlink(missing_ok=True)
    costs = _etcd(typed) if ETCD in families else []
    if by_tests := [name for name in families if name != ETCD or not typed.names]:
        tested.run(by_tests, in_full=typed.long, report=typed.report)
    outcomes = read(typed.report)
    if typed.output == "json":
        print(json.dumps({"etcd": costs, "outcomes": list(map(asdict, outcomes))}, indent=2))
    else:
        sys.stdout.write(table(outcomes))
    return exit_status(outcomes)


def _etcd(typed: argparse.Namespace) -> list[dict[str, object]]:
    """Try etcd's faults, print what each cost, and return that."""
    from integration.drivers.matrix import etcd  # noqa: PLC0415, with the lab

    note = partial(keep, path=typed.report)
    try:
        tolls = etcd.run(typed.names, in_full=typed.long, tell=_tell, keep=note)
    except LabError as error:
        if typed.names:
            raise
        note(Outcome(ETCD, "the lab itself", wrong=str(error)))
        return []
    if typed.output == "table" and tolls:
        print(etcd.table(tolls))
    return etcd.document(tolls)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
