"""`flanpyctl status`: the local daemon's health, for people, scripts and `--wait`.

Exits by this host's verdict alone; with `--wait` by its readiness. `-o json` is the daemon's `/v1/status` unchanged.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from flanpy.api.reading import read
from flanpy.api.status import StatusDocument, VerdictDocument, VerdictsDocument
from flanpy.cli.base.control import Control
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as
from flanpy.cli.base.screen import next_step
from flanpy.cli.base.waiting import Said, is_ready, waited
from flanpy.cli.look.status_view import is_well, show_status, show_unknown, unknown, verdict_of
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
    status = read(StatusDocument, said)
    verdict = verdict_of(status)
    if arguments.output != "table":
        print_as(arguments.output, said)
    else:
        show_status(status, _cluster(host.control), verbose=arguments.verbose)
        if not is_well(verdict):
            next_step("Next: flanpyctl doctor")
    if until(said) if waits else is_well(verdict):
        return Exit.OK
    cause = f" ({verdict.cause})" if verdict.cause else ""
    raise CommandError(
        Exit.UNHEALTHY, f"{status.phase}: {'; '.join(filter(None, (f'{verdict.text}{cause}', verdict.cure)))}"
    )


def _is_on_standby(said: Said) -> bool:
    """Ready, or kept from it only by another program that has the tunnel, to be taken over when that one ends."""
    reasons = {one.type: one.reason for one in read(StatusDocument, said).conditions}
    return is_ready(said) or reasons.get("BackendReady") in TAKEN


def _cluster(control: Control) -> VerdictDocument:
    """Return the daemon's verdict on the cluster; that of an older version is without a text."""
    try:
        return read(VerdictsDocument, control.get("verdict")).cluster
    except ControlError as error:
        return unknown(str(error))
