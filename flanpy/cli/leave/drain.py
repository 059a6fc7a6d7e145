"""`flanpyctl drain`: take this host out of the overlay, and bring it back.

Owns the order: the containers still on the subnet are listed first, then the daemon gives the lease back and idles,
then on request its objects are removed from the kernel. The daemon keeps idle over restarts and reboots until `--undo`.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.cli.base.wording import plural
from flanpy.cli.leave.occupants import occupants
from flanpy.errors import ControlUnreachable, UsageError

POLL_S: Final = 0.5

DEADLINE_S: Final = 40.0
"""The daemon gives etcd a part of it, and its own last pass the rest."""

Said = Mapping[str, Any]


def drain(arguments: Namespace, host: Host) -> Exit:
    """REFUSED while something runs on the subnet, unless --force; UNREACHABLE without a daemon."""
    if arguments.undo:
        if arguments.cleanup or arguments.wait or arguments.force:
            raise UsageError("--undo goes alone: it takes part again")
        return _undo(host)
    own = _own(host)
    _make_sure(arguments, host, own)
    said = host.control.post("drain", deadline=DEADLINE_S)
    for line in _result(said):
        print(line)
    if arguments.cleanup:
        from flanpy.cli.leave.cleanup import sweep

        print(f"removed: {plural(sweep(host), 'object')}")
        _tell_other_file(host)
    else:
        print("what flanpyd made here stays until: flanpyctl drain --cleanup")
    print("a restart changes nothing; to take part again: flanpyctl drain --undo")
    return Exit.OK


def _own(host: Host) -> Said:
    try:
        return host.control.get("status").get("own") or {}
    except ControlUnreachable as error:
        raise ControlUnreachable(
            f"{error}; a host whose daemon is gone is taken out with: flanpyctl cleanup --release"
        ) from error


def _tell_other_file(host: Host) -> None:
    """Name the daemon's subnet file if it is another than ours: nothing is removed because a daemon names it."""
    named = next(
        (str(row["value"]) for row in host.control.get("config") if row["name"] == "subnet-file"), ""
    )
    if named and Path(named) != host.settings.subnet_file:
        print(printable(f"flanpyd names {named}, which no setting here does: it stays, or say --subnet-file"))


def _subnets(own: Said) -> tuple[Any, ...]:
    from ipaddress import ip_network

    return tuple(ip_network(own[key]) for key in ("subnet", "subnet6") if own.get(key))


def _make_sure(arguments: Namespace, host: Host, own: Said) -> None:
    """Return once no container runs on the subnet, or an operator agreed (--force)."""
    subnets = _subnets(own)
    until = time.monotonic() + (arguments.timeout if arguments.wait else 0.0)
    told = ""
    while found := occupants(host, subnets):
        text = "; ".join(map(str, found))
        if text != told:
            print(f"still on {', '.join(map(str, subnets))}: {text}", flush=True)
            told = text
        if arguments.force:
            print("these lose the overlay: peers give up their way here")
            return
        if time.monotonic() >= until:
            waited = f" after {arguments.timeout:g} s" if arguments.wait else ""
            raise CommandError(
                Exit.REFUSED,
                f"nothing was drained, for something runs on the subnet{waited}:"
                " stop it, --wait for its end, or --force",
            )
        time.sleep(POLL_S)


def _result(said: Said) -> list[str]:
    name = ", ".join(filter(None, (said.get("subnet"), said.get("subnet6"))))
    if not said.get("changed"):
        return [f"drained already{': ' + name + ' was given back' if name else ''}"]
    if not name:
        return ["drained: this host held no subnet, and takes none"]
    if said.get("reservation"):
        return [
            f"drained: {name} stays reserved for this host, and peers send nothing to it",
            f"to give it to others, too: flanpyctl subnets release {said.get('subnet') or name} --force",
        ]
    return [f"drained: {name} was given back, and peers let go of it"]


def _undo(host: Host) -> Exit:
    said = host.control.post("undrain", deadline=DEADLINE_S)
    if not said.get("changed"):
        print("this host takes part already")
        return Exit.OK
    print("this host takes part again, on the same subnet if nobody has it by now")
    print("to wait until it is ready: flanpyctl status --wait")
    return Exit.OK
