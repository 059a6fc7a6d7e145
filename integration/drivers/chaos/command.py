"""`python -m integration chaos`: the words typed, and what is printed and written."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from integration.drivers.chaos import report, summary
from integration.drivers.chaos.run import Outcome, run
from integration.drivers.chaos.schedule import BLOWS, plan
from integration.faults.fault import Family
from integration.hosts.daemon import as_program
from integration.truth.fabric import FABRICS, VXLAN

RESULTS = Path("build/chaos")


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--hosts", type=int, default=5, help="how many (5)")
    parser.add_argument("--etcd-members", type=int, default=3, choices=(1, 3), help="1 or 3 (3)")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long, calms included (300)")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()) % 100_000, help="what decides everything"
    )
    parser.add_argument("--families", default=",".join(family.value for family in Family), help="all of them")
    parser.add_argument("--backend", default="vxlan", choices=sorted(FABRICS), help="the network's (vxlan)")
    parser.add_argument("--blows", type=int, default=BLOWS, help=f"faults in each storm ({BLOWS})")
    parser.add_argument("--to", type=Path, default=RESULTS, help=f"where the reports go ({RESULTS})")
    parser.add_argument("--program", help="what runs in flanneld's place (flanpyd)")
    parser.add_argument("--summary", action="store_true", help="tell of all runs there, run nothing")
    parser.add_argument("--only-schedule", action="store_true", help="print what would strike, and end")
    parser.set_defaults(command=_chaos)


def _chaos(typed: argparse.Namespace) -> int:
    if typed.summary:
        print(summary.told(summary.summed(summary.read(typed.to))))
        return 0
    families = tuple(Family(name) for name in typed.families.split(","))
    if typed.program:  # operators type flanpyctl
        families = tuple(family for family in families if family is not Family.OPERATOR)
    fabric = FABRICS[typed.backend]
    blows = plan(
        typed.seed,
        hosts=typed.hosts,
        seconds=typed.seconds,
        families=families,
        blows=typed.blows,
        fabric=fabric,
    )
    said = (
        f"--hosts {typed.hosts} --seconds {typed.seconds:g} --backend {typed.backend}"
        f" --families {typed.families} --blows {typed.blows}"
    )
    name = f"seed-{typed.seed}" + (f"-{typed.backend}" if fabric is not VXLAN else "")
    print(f"seed {typed.seed}: {said}", flush=True)
    if typed.only_schedule:
        print("\n".join(str(blow) for blow in blows))
        return 0
    outcome = run(
        blows,
        seed=typed.seed,
        hosts=typed.hosts,
        etcd_members=typed.etcd_members,
        families=families,
        say=lambda line: print(line, flush=True),
        logs=typed.to / f"{name}-logs",
        fabric=fabric,
        program=as_program(typed.program),
    )
    typed.to.mkdir(parents=True, exist_ok=True)
    report.write(outcome, typed.to / f"{name}.json")
    print(report.table(outcome))
    _picture(outcome, typed.to / f"{name}.svg")
    print(f"written: {typed.to}/{name}.json and .svg")
    return 1 if outcome.violations else 0


def _picture(outcome: Outcome, path: Path) -> None:
    """Drawn last: matplotlib takes a second to load."""
    from integration.drivers.chaos.picture import draw  # noqa: PLC0415

    draw(outcome, path)
