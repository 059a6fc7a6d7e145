"""`flanpyctl docker networks`: Docker's networks as the named networks of this host.

In: networks.json, which flanpyd keeps. Owns the wording of what was done.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_table, printable
from flanpy.docker.named import NamedStep
from flanpy.errors import HostError
from flanpy.host import docker_refusals_file, networks_file


def networks(arguments: Namespace, host: Host) -> Exit:
    """Put Docker's networks right; CONFLICT if one of them cannot be, NOT_FOUND if flanpyd has written nothing yet."""
    from flanpy.docker.named_networks import ensure

    state_dir = host.effective.state_dir
    saved = networks_file.load(state_dir)
    if saved is None:
        raise CommandError(
            Exit.NOT_FOUND, f"there is no usable {state_dir / networks_file.FILE_NAME}: is flanpyd running?"
        )
    steps = ensure(host.effective.docker.socket, saved.networks, dry_run=arguments.dry_run)
    if not arguments.dry_run:
        _tell_daemon(host, steps)
    _print(arguments.output, steps)
    if trouble := [step.trouble for step in steps if step.trouble]:
        raise CommandError(Exit.CONFLICT, printable("; ".join(trouble)))
    return Exit.OK


def _tell_daemon(host: Host, steps: tuple[NamedStep, ...]) -> None:
    """Let flanpyd's condition name what Docker said. Docker's networks stand, whether that can be written or not."""
    refused = {step.name: printable(step.fault) for step in steps if step.fault}
    try:
        docker_refusals_file.save(docker_refusals_file.path_of(host.effective.run_dir), refused)
    except HostError as error:
        print(printable(f"flanpyd is not told of this: {error}"), file=sys.stderr)


def _print(form: str, steps: tuple[NamedStep, ...]) -> None:
    rows = [_row(step) for step in steps]
    if form != "table":
        print_as(form, rows)
        return
    cells = ((one["name"], one["step"], "; ".join(one["differences"])) for one in rows)
    print_table(Table(("NETWORK", "STEP", "REASON"), tuple(cells)))


def _row(step: NamedStep) -> dict[str, Any]:
    return {
        "name": step.name,
        "step": step.step.value,
        "differences": [*step.differences, *((step.refused,) if step.refused else ())],
        "holders": list(step.holders),
    }
