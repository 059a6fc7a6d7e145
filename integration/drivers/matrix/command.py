"""`python -m integration faults`: the words typed, and what is printed.

Any fault of the catalogue can be named. Those of etcd that have a time to hold are tried in a guarded lab (`etcd`),
others alone in the lab of chaos (`alone`); some families are tests besides (`tested`). All note what became of each
fault in one report, and the table of that is printed at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from integration.drivers.matrix import alone, etcd, tested
from integration.drivers.matrix.outcome import Outcome, exit_status, keep, read, table
from integration.faults.catalogue import FAULTS, fault, of_families
from integration.faults.fault import Family, Fault
from integration.hosts.daemon import as_program
from integration.net.namespaces import LabError

ETCD = "etcd"
ALONE = ("network", "operator")
FAMILIES = (ETCD, *ALONE, *tested.FAMILIES)
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
    parser.add_argument("--program", help="what runs in flanneld's place, for faults tried alone (flanpyd)")
    parser.add_argument(
        "--report", type=Path, default=REPORT, metavar="FILE", help=f"where outcomes are kept ({REPORT})"
    )
    parser.add_argument(
        "names", nargs="*", metavar="FAULT", help="only these, of any family (all); `list` names them"
    )
    parser.set_defaults(command=_faults)


def _faults(typed: argparse.Namespace) -> int:
    if typed.names == ["list"]:
        print("\n".join(f"{one.name:28} {one.family.value:9} {one.title}" for one in FAULTS.values()))
        return 0
    named = [fault(name) for name in typed.names]
    families = [] if named else [typed.family] if typed.family else list(FAMILIES)
    typed.report.parent.mkdir(parents=True, exist_ok=True)
    typed.report.unlink(missing_ok=True)
    costs: list[dict[str, object]] = []
    if of_etcd := [one for one in named if one.hold] or ETCD in families:
        costs = _etcd(typed, of_etcd if isinstance(of_etcd, list) else [])
    single = [one for one in named if not one.hold]
    single += of_families(Family(name) for name in families if name in ALONE)
    if single:
        alone.run(
            single, program=as_program(typed.program), tell=_tell, keep=partial(keep, path=typed.report)
        )
    if by_tests := [name for name in families if name in tested.FAMILIES or name == ETCD]:
        tested.run(by_tests, in_full=typed.long, report=typed.report)
    outcomes = read(typed.report)
    if typed.output == "json":
        print(json.dumps({"etcd": costs, "outcomes": list(map(asdict, outcomes))}, indent=2))
    else:
        sys.stdout.write(table(outcomes))
    return exit_status(outcomes)


def _etcd(typed: argparse.Namespace, named: list[Fault]) -> list[dict[str, object]]:
    """Try etcd's faults, print what each cost, and return that."""
    note = partial(keep, path=typed.report)
    try:
        tolls = etcd.run(named, in_full=typed.long, tell=_tell, keep=note)
    except LabError as error:
        if named:
            raise
        note(Outcome(ETCD, "the lab itself", wrong=str(error)))
        return []
    if typed.output == "table" and tolls:
        print(etcd.table(tolls))
    return etcd.document(tolls)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
