"""`flanpyctl top`: conditions, the worst peers first, device rates and repairs, again and again until q or Ctrl-C.

Owns the looking and the keyboard; `top_view` says what is shown. Without a terminal it is printed once.
"""

from __future__ import annotations

import gc
import os
import select
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flanpy.api.reading import read
from flanpy.api.status import StatusDocument
from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.look.peer_rows import peers_of
from flanpy.cli.look.top_view import Counters, TopSample, counters_of, text_of
from flanpy.errors import ControlError, UsageError
from flanpy.netlink.framing import text

if TYPE_CHECKING:
    from rich.live import Live

_SHORTEST_S: Final = 0.2


def show(arguments: Namespace, host: Host) -> Exit:
    """Print once, or stay on a terminal."""
    if not arguments.interval >= _SHORTEST_S:
        raise UsageError(
            f"--interval {arguments.interval:g} cannot be used: at least {_SHORTEST_S:g} seconds"
        )
    first = look(host)
    if not (sys.stdout.isatty() and sys.stdin is not None and sys.stdin.isatty()):
        sys.stdout.write("\n".join(line for line, _ in text_of(first, None)) + "\n")
        return Exit.OK
    gc.enable()  # unlike other commands this one may live for days
    from rich.live import Live

    with _keys() as keyboard, Live(screen=True, auto_refresh=False) as live:
        _stay(live, keyboard, first, host, arguments.interval)
    return Exit.OK


def look(host: Host) -> TopSample:
    """Everything that is shown, now. Raises ControlError."""
    control = host.control
    status = read(StatusDocument, control.get("status"))
    links = [link.name for link in status.backend.links] if status.backend is not None else []
    underlay = status.underlay.link if status.underlay is not None else ""
    found = _counters()
    return TopSample(
        at=time.monotonic(),
        wall=time.time(),
        status=status,
        peers=peers_of(control.get("peers")),
        counters={name: found[name] for name in (*links, underlay) if name in found},
    )


def _counters() -> dict[str, Counters]:
    """Of every device in this network namespace (proc_pid_net(5); sysfs may show another's)."""
    try:
        lines = Path("/proc/net/dev").read_bytes().split(b"\n")[2:-1]
    except OSError:
        return {}
    return dict(counters_of(text(line)) for line in lines)


@contextmanager
def _keys() -> Iterator[int]:
    """The terminal's keys one by one, unechoed; as it was afterwards."""
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _stay(live: Live, keyboard: int, first: TopSample, host: Host, interval: float) -> None:
    before: TopSample | None = None
    now, trouble = first, ""
    while True:
        live.update(_rendered(now, before, trouble, live.console.height), refresh=True)
        if _left(keyboard, interval):
            return
        try:
            before, now, trouble = now, look(host), ""
        except ControlError as error:  # it may be restarting
            trouble = str(error)


def _left(keyboard: int, wait: float) -> bool:
    """Report whether q was typed, or the terminal has gone, within `wait` seconds."""
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        if select.select([keyboard], [], [], left)[0] and os.read(keyboard, 1) in {b"q", b"Q", b"", b"\x03"}:
            return True
    return False


def _rendered(now: TopSample, before: TopSample | None, trouble: str, height: int) -> Any:
    from rich.text import Text

    lines: list[tuple[str, str]] = [(f"! {trouble}", "red")] if trouble else []
    lines += text_of(now, before)
    text = Text(no_wrap=True, overflow="ellipsis")
    for line, style in lines[: max(1, height - 1)]:
        text.append(f"{line}\n", style=style or None)
    text.append("q leaves", style="dim")
    return text
