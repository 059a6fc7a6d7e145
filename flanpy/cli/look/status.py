"""`flanpyctl status`: the local daemon's health, for people, scripts and `--wait`.

Exits by this host's verdict alone; with `--wait` by its readiness. `-o json` is the daemon's `/v1/status` unchanged.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from flanpy.cli.base.control import Control
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as
from flanpy.cli.base.screen import next_step
from flanpy.cli.base.waiting import Said, is_ready, waited
from flanpy.cli.look.status_view import is_well, show_status, show_unknown, verdict_of
from flanpy.errors import ControlError, ControlUnreachable

TAKEN: Final = frozenset({"TunnelTaken", "PortTaken"})
"""Reasons of BackendReady: another program, flanneld, runs the tunnel."""


def show(arguments: Namespace, host: Host) -> Exit:
    """Print the status; UNHEALTHY unless this host is well, with `--wait` unless it is ready."""
    waits = arguments.wait or arguments.standby
    until = _is_on_standby if arguments.standby else is_ready
    try:
        said = waited(host.control, arguments.timeout, until) if waits else host.control.get("status")
    except ControlUnreachable:
        if arguments.output == "table":
            show_unknown()
        raise
    if arguments.output != "table":
        print_as(arguments.output, said)
    else:
        show_status(said, _cluster(host.control), verbose=arguments.verbose)
        if not is_well(said):
            next_step("Next: flanpyctl doctor")
    if until(said) if waits else is_well(said):
        return Exit.OK
    verdict = verdict_of(said)
    cause = f" ({verdict['cause']})" if verdict.get("cause") else ""
    words = [f"{verdict.get('text')}{cause}", str(verdict.get("cure") or "")]
    raise CommandError(Exit.UNHEALTHY, f"{said.get('phase')}: {'; '.join(filter(None, words))}")


def _is_on_standby(said: Said) -> bool:
    """Ready, or kept from it only by another program that has the tunnel, to be taken over when that one ends."""
    reasons = {one["type"]: one["reason"] for one in said.get("conditions", ())}
    return is_ready(said) or reasons.get("BackendReady") in TAKEN


def _cluster(control: Control) -> Said:
    """Return the daemon's verdict on the cluster; one of an older version gives none."""
    try:
        return control.get("verdict").get("cluster") or {}
    except ControlError as error:
        return {"state": "unknown", "text": str(error)}
