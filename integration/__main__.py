"""`python -m integration`: labs by command.

Owns the words typed at a terminal and what is printed; the lab itself is in integration.lab.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from integration.drivers import inject as inject_command
from integration.drivers.chaos import command as chaos_command
from integration.drivers.demo import run_demo
from integration.drivers.matrix import command as faults_command
from integration.drivers.soak import command as soak_command
from integration.hosts.daemon import as_program
from integration.hosts.left_up import the_lab
from integration.lab import Lab, LabError, flanpyctl
from integration.net import claim, namespaces

EXAMPLES = """examples:
  python -m integration up --hosts 3                  three hosts with flanpyd, left up
  python -m integration up --program 'sh integration/handmade_vxlan.sh'
  python -m integration exec h1 ip route              run a command on a host
  python -m integration exec h1c1 ping -c1 10.50.7.2  ... or in a container
  python -m integration exec h2 flanpyctl status      ... with that host's flanpyd settings
  python -m integration inject P06                    a known problem, until Enter is pressed
  python -m integration inject cable_flaps --host h2  ... or any other fault
  python -m integration faults one_way drained        faults one by one, and what each cost
  python -m integration chaos --seed 7 --seconds 60   many at once, by dice
  python -m integration status
  python -m integration down --all
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    typed = _parser().parse_args(arguments)
    try:
        code: int = typed.command(typed)
    except (LabError, PermissionError) as error:
        print(f"integration: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m integration",
        description="Whole hosts as network namespaces of this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="build a lab, start its daemons and leave it up"))
    execute = commands.add_parser(
        "exec", help="run a command on a host, in a container or beside an etcd member"
    )
    execute.add_argument("--lab", type=int, help="which lab (default: the only one)")
    execute.add_argument("where", help="h1, h1c1, e1, sw, ...")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    execute.set_defaults(command=_exec)
    inject_command.add_to(
        commands.add_parser("inject", help="put a fault (P06, cable_cut) into a lab left up, until Enter")
    )
    status = commands.add_parser("status", help="list the labs of this machine")
    status.set_defaults(command=_status)
    down = commands.add_parser("down", help="remove a lab and every trace of it")
    down.add_argument("number", type=int, nargs="*", help="which (default: those left up by `up`)")
    down.add_argument("--all", action="store_true", help="every lab, even one a living test owns")
    down.set_defaults(command=_down)
    sweep = commands.add_parser("sweep", help="remove what dead owners left behind")
    sweep.set_defaults(command=_sweep)
    chaos_command.add_to(
        commands.add_parser("chaos", help="random faults from a seed, and whether all came well")
    )
    faults_command.add_to(
        commands.add_parser("faults", help="each fault of a family, one by one, and what it cost")
    )
    soak_command.add_to(
        commands.add_parser("soak", help="a thousand peers that come and go: nothing may grow")
    )
    demo = commands.add_parser("demo", help="the guided tour")
    demo.add_argument(
        "--keep", action="store_true", default=os.environ.get("KEEP") == "1", help="leave it up"
    )
    demo.set_defaults(command=_demo)
    return parser


def _add_up(up: argparse.ArgumentParser) -> None:
    up.add_argument("--hosts", type=int, default=3, help="how many (3)")
    up.add_argument("--etcd-members", type=int, default=1, choices=(1, 3), help="1 or 3 (1)")
    up.add_argument("--segments", type=int, default=1, help="L2 segments with a router between (1)")
    up.add_argument("--mtu", type=int, default=1500, help="of the underlay (1500)")
    up.add_argument("--backend", default="vxlan", help="of the network config (vxlan)")
    up.add_argument("--program", help="what runs in flanneld's place (flanpyd)")
    up.add_argument("--no-start", action="store_true", help="build it, start no daemon")
    up.set_defaults(command=_up)


def _up(typed: argparse.Namespace) -> int:
    program = as_program(typed.program)
    lab = Lab(typed.hosts, typed.etcd_members, program=program, segments=typed.segments, mtu=typed.mtu)
    with lab:
        lab.configure(backend=typed.backend)
        if not typed.no_start:
            lab.start_daemons()
            lab.attach_containers()
        _print_lab(lab.describe())
        print(f"look around: python -m integration exec {lab.hosts[0].name} ip route")
        print(f"remove it:   python -m integration down {lab.number}")
        lab.keep()
    return 0


def _exec(typed: argparse.Namespace) -> int:
    number = the_lab(typed.lab)
    namespace = f"fp{number}-{typed.where}"
    if namespace not in namespaces.names_with(f"fp{number}-"):
        known = ", ".join(name.partition("-")[2] for name in namespaces.names_with(f"fp{number}-"))
        raise LabError(f"lab {number} has no {typed.where}; it has {known}")
    argv = typed.argv or [os.environ.get("SHELL", "/bin/sh")]
    if argv[0] == "flanpyctl":
        argv = [*flanpyctl(), *argv[1:]]
    hosts = [host for host in _description(number)["hosts"] if host["namespace"] == namespace]
    here = Path(sys.executable).parent  # so that flanpyctl is found
    environment = {
        **os.environ,
        "PATH": f"{here}:{os.environ['PATH']}",
        **(hosts[0]["environment"] if hosts else {}),
    }
    os.execvpe("nsenter", [*namespaces.enter_argv(namespace), *argv], environment)


def _status(_typed: argparse.Namespace) -> int:
    numbers = claim.numbers()
    for number in numbers:
        if claim.is_kept(number):
            _print_lab(_description(number))
        else:
            print(f"lab {number}: owned by a running command, or left by a dead one (`sweep` removes those)")
    if not numbers:
        print("no lab is up")
    return 0


def _print_lab(lab: dict[str, Any]) -> None:
    print(f"lab {lab['number']}: etcd at {lab['etcd_endpoints']}")
    for host in lab["hosts"]:
        containers = " ".join(f"{c['namespace']} ({c['address']})" for c in host["containers"])
        print(
            f"  {host['name']:4} {host['namespace']:9} {host['address']:12} {host['directory']}  {containers}"
        )


def _down(typed: argparse.Namespace) -> int:
    every = claim.numbers()
    kept = [number for number in every if claim.is_kept(number)]
    for number in every if typed.all else typed.number or kept:
        claim.remove_remains(number)
        print(f"lab {number} removed")
    return 0


def _sweep(_typed: argparse.Namespace) -> int:
    for number in claim.sweep():
        print(f"lab {number} removed: its owner is gone")
    return 0


def _demo(typed: argparse.Namespace) -> int:
    return run_demo(Lab(hosts=3), keep=typed.keep)


def _description(number: int) -> dict[str, Any]:
    directory = claim.directory_of(number)
    if directory is None or not (directory / "lab.json").exists():
        return {"number": number, "etcd_endpoints": "?", "hosts": []}
    found: dict[str, Any] = json.loads((directory / "lab.json").read_text())
    return found


if __name__ == "__main__":
    sys.exit(main())
