"""`flanpyctl events`: what happened to this host's overlay, oldest first.

`-o json` is `/v1/events`: `{"events": [{"number", "at", "kind", "what", "why", "count", "attributes", "times"}]}`;
with `--follow` one event a line.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flanpy.cli.base.control import Control
from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, plain_table, print_as, print_json, print_table
from flanpy.errors import UsageError

Event = Mapping[str, Any]

_TITLES = ("TIME", "EVENT", "WHAT", "WHY", "TIMES")
_BAD = {"condition_raised": "red", "peer_unreachable": "red", "repaired": "yellow", "peer_left": "yellow"}


def show(arguments: Namespace, host: Host) -> Exit:
    """Print the newest; with `--follow` go on."""
    if arguments.number < 0:
        raise UsageError(f"-n {arguments.number} cannot be used: give a count, or 0 for all")
    if arguments.follow:
        return _follow(arguments, host.control)
    events = _newest(host.control.get("events").get("events", ()), arguments.number)
    if arguments.output == "table":
        print_table(table_of(events))
    else:
        print_as(arguments.output, {"events": events})
    return Exit.OK


def _newest(events: Sequence[Event], count: int) -> list[Event]:
    return list(events)[-count:] if count else list(events)


def table_of(events: Iterable[Event]) -> Table:
    """The columns; times are this host's local ones."""
    rows = tuple(events)
    tones = {number: _BAD.get(str(event.get("kind")), "") for number, event in enumerate(rows)}
    return Table(_TITLES, tuple(map(_cells, rows)), {n: tone for n, tone in tones.items() if tone})


def _cells(event: Event) -> tuple[str, ...]:
    count = int(event.get("count") or 1)
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"])),
        str(event.get("kind") or ""),
        str(event.get("what") or ""),
        str(event.get("why") or ""),
        str(count) if count > 1 else "",
    )


def _follow(arguments: Namespace, control: Control) -> Exit:
    from flanpy.cli.base.following import answers

    first = True
    for events in answers(Tail(control).news):
        _print_each(_newest(events, arguments.number) if first else events, arguments.output)
        first = False
        sys.stdout.flush()
    return Exit.OK


class Tail:
    """Asks for what is new. A daemon that was restarted counts from 1 again, and its socket is another one."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._number = 0
        self._socket: tuple[int, int] | None = None

    def news(self) -> Sequence[Event]:
        """Events since the last call, all at the first."""
        socket = self._incarnation()
        if socket != self._socket:
            self._number = 0
        events: Sequence[Event] = self._control.get(f"events?after={self._number}").get("events", ())
        self._socket = socket
        self._number = max([self._number, *(int(event["number"]) for event in events)])
        return events

    def _incarnation(self) -> tuple[int, int] | None:
        try:
            stat = self._control.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns


def _print_each(events: Iterable[Event], output: str) -> None:
    for event in events:
        match output:
            case "json":
                print_json(event, compact=True)
            case "yaml":
                sys.stdout.write("---\n")
                print_as("yaml", event)
            case _:
                sys.stdout.write(_line(event))


def _line(event: Event) -> str:
    """A row without a head. Kinds have one width; what follows does not line up, for what comes later is not known."""
    at, kind, what, why, count = _cells(event)
    times = f" ({count} times)" if count else ""
    return plain_table(Table((at, f"{kind:<19}", what, f"{why}{times}"), ()))
