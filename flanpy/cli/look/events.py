"""`flanpyctl events`: what happened to this host's overlay, oldest first.

`-o json` is `/v1/events`: `{"epoch", "events": [{"number", "at", "first_at", "kind", "what", "why", "text", ...}]}`;
with `--follow` one event a line.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flanpy.cli.base.control import Control
from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, plain_table, print_as, print_json, print_table
from flanpy.cli.look.event_filter import is_about, is_since, since, words_of
from flanpy.errors import UsageError

Event = Mapping[str, Any]

NEWEST = 50
"""Events shown without a wish of which."""

_BAD = {"condition_raised": "red", "peer_unreachable": "red", "repaired": "yellow", "peer_left": "yellow"}


def show(arguments: Namespace, host: Host) -> Exit:
    """Print the newest; with `--follow` go on."""
    if arguments.number is not None and arguments.number < 0:
        raise UsageError(f"-n {arguments.number} cannot be used: give a count, or 0 for all")
    said = {} if arguments.follow and not arguments.peer else host.control.get("events")
    wanted = _wanted(arguments, host.control, said.get("events", ()))
    if arguments.follow:
        return _follow(arguments, host.control, wanted)
    events = _newest(list(filter(wanted, said.get("events", ()))), _count(arguments))
    if arguments.output in {"table", "wide"}:
        print_table(table_of(events, wide=arguments.output == "wide"))
    else:
        print_as(arguments.output, {**said, "events": events})
    return Exit.OK


def _wanted(arguments: Namespace, control: Control, events: Sequence[Event]) -> Callable[[Event], bool]:
    """Return the test for the events that `--since` and `--peer` ask for."""
    at = since(arguments.since, time.time()) if arguments.since else None
    words = None
    if arguments.peer:
        words = words_of(arguments.peer, control.get("subnets").get("subnets", ()), events)
    return lambda event: (at is None or is_since(event, at)) and (words is None or is_about(event, words))


def _count(arguments: Namespace) -> int:
    """Return how many: all that are asked for by time or host, else the newest."""
    if arguments.number is not None:
        return int(arguments.number)
    return 0 if arguments.since or arguments.peer else NEWEST


def _newest(events: Sequence[Event], count: int) -> list[Event]:
    return list(events)[-count:] if count else list(events)


def table_of(events: Iterable[Event], *, wide: bool = False) -> Table:
    """The columns, `wide` with what machines call it; times are this host's local ones."""
    rows = tuple(events)
    tones = {number: _BAD.get(str(event.get("kind")), "") for number, event in enumerate(rows)}
    titles = ("FIRST", "LAST", "TIMES", *(("KIND", "OF") if wide else ()), "EVENT")
    cells = tuple(_cells(event, wide=wide) for event in rows)
    return Table(titles, cells, {n: tone for n, tone in tones.items() if tone}, optional=("TIMES",))


def _cells(event: Event, *, wide: bool) -> tuple[str, ...]:
    first, count = event.get("first_at") or event["at"], int(event.get("count") or 1)
    last = _stamp(event["at"])
    if last[:10] == _stamp(first)[:10]:
        last = last[11:]
    names = (str(event.get("kind") or ""), str(event.get("what") or "")) if wide else ()
    return (
        _stamp(first),
        last if _stamp(event["at"]) != _stamp(first) else "",
        str(count) if count > 1 else "",
        *names,
        _text(event),
    )


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _text(event: Event) -> str:
    """Return the daemon's sentence; one of an earlier version makes none."""
    words = (str(event.get("kind") or "").replace("_", " "), event.get("what"), event.get("why"))
    return str(event.get("text") or " ".join(filter(None, map(str, words))))


def _follow(arguments: Namespace, control: Control, wanted: Callable[[Event], bool]) -> Exit:
    from flanpy.cli.base.following import answers

    first = True
    for news in answers(Tail(control).news):
        events = list(filter(wanted, news))
        _print_each(_newest(events, _count(arguments)) if first else events, arguments.output)
        first = False
        sys.stdout.flush()
    return Exit.OK


class Tail:
    """Asks for what is new. Numbers go on over a restart of the daemon, unless it counts again: the epoch tells."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._number = 0
        self._epoch: object = None
        self._socket: tuple[int, int] | None = None

    def news(self) -> Sequence[Event]:
        """Events since the last call, all at the first."""
        socket = self._incarnation()
        if self._epoch == self._socket != socket:
            self._number = 0
        said = self._control.get(f"events?after={self._number}")
        epoch = said.get("epoch") or socket
        if self._number and epoch != self._epoch:
            said = self._control.get("events?after=0")
            self._number = 0
        self._socket = socket
        self._epoch = epoch
        events: Sequence[Event] = said.get("events", ())
        self._number = max([self._number, *(int(event["number"]) for event in events)])
        return events

    def _incarnation(self) -> tuple[int, int] | None:
        """Return the socket's identity: a daemon of an earlier version counts again with each."""
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
    """A row without a head: the time of the news, and the sentence."""
    return plain_table(Table((_stamp(event["at"]), _text(event)), ()))
