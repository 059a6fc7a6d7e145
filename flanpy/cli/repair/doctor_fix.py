"""`flanpyctl doctor --fix`: run the commands that findings offer, and check again whether the findings are gone.

Owns the questions and the running. Each command is shown before it is run, runs once, and needs a yes unless --yes is
given; a foreign object is removed only after a person's yes. A failure prints its reason, and the others still run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.doctor.finding import Finding, Repair
from flanpy.errors import FlanpyError

SETTLE_S: Final = 12.0
"""Conditions are judged every few seconds, and probes take a round or two."""

_POLL_S: Final = 0.5


@dataclass(slots=True)
class Fixed:
    """The repairs that were run, and those of them that failed."""

    done: list[Repair] = field(default_factory=list)
    failed: list[Repair] = field(default_factory=list)


def repair(findings: Iterable[Finding], host: Host, *, yes: bool) -> Fixed:
    """Each repair once, in the order of the findings."""
    wanted = {str(one.repair): one.repair for one in findings if one.repair is not None}
    if not wanted:
        print("there is nothing that --fix may repair: see the cures")
    fixed = Fixed()
    for one in wanted.values():
        if _is_wanted(one, yes=yes):
            (fixed.done if _is_done(one, host) else fixed.failed).append(one)
    if any(one.argv[0] == "sysctl" for one in fixed.done):
        print("settings last until the next boot: for good, write them into /etc/sysctl.d")
    return fixed


def _is_wanted(repair: Repair, *, yes: bool) -> bool:
    if repair.removes and yes:
        print(f"left alone, as it is foreign: {_text(repair)}")
        return False
    if not yes and not _is_agreed(repair):
        print(f"left alone: {_text(repair)}")
        return False
    return True


def _is_agreed(repair: Repair) -> bool:
    what = "remove a foreign rule with" if repair.removes else "run"
    try:
        return input(f"{what} '{_text(repair)}'? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        print()
        return False


def _text(repair: Repair) -> str:
    return printable(str(repair))


def _is_done(repair: Repair, host: Host) -> bool:
    print(f"+ {_text(repair)}", flush=True)
    try:
        _run(repair, host)
    except FlanpyError as error:
        print(f"flanpyctl: {printable(str(error))}", file=sys.stderr, flush=True)
        return False
    return True


def _run(repair: Repair, host: Host) -> None:
    from flanpy.trace.programs import output

    match repair.argv:
        case ("flanpyctl", "reload"):
            host.control.post("reload")
        case ("ethtool", "-K", link, feature, value):  # many a host has no ethtool
            from flanpy.kernel.ethtool import Ethtool

            with closing(Ethtool()) as ethtool:
                ethtool.set(link, feature, enabled=value == "on")
        case ("sysctl", "-w", *settings):  # nor has every host sysctl
            from flanpy.host.sysctl import SysctlFiles

            for setting in settings:
                name, _, value = setting.rpartition("=")  # a link may have a = in its name
                SysctlFiles().write(name.translate(str.maketrans("./", "/.")), value)
        case argv:
            output(argv)


def settled(
    before: Sequence[Finding], fixed: Fixed, look: Callable[[], Sequence[Finding]]
) -> tuple[Sequence[Finding], list[Finding]]:
    """Findings once those that were repaired are gone, or their time is up; and those of them that are still there."""
    repaired = {(one.id, one.title) for one in before if one.repair in fixed.done}
    until = time.monotonic() + SETTLE_S
    while True:
        found = look()
        left = [one for one in found if (one.id, one.title) in repaired and one.severity.is_unhealthy]
        if not left or time.monotonic() >= until:
            return found, left
        time.sleep(_POLL_S)


def outcome(before: Sequence[Finding], fixed: Fixed, left: Sequence[Finding]) -> Iterator[str]:
    """A line for each finding that something was run for."""
    still = {(one.id, one.title) for one in left}
    for one in before:
        if one.repair in fixed.done:
            gone = (one.id, one.title) not in still
            yield f"{'gone' if gone else 'still there'}: {one.id}  {one.title}"
