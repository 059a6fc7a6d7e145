"""Actions that operators take at any moment: reload, `doctor --fix`, drain and its reverse.

None of it is a fault of its own; that it comes in the middle of others is what is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from integration.faults.fault import Evidence, Family, Fault, Part, StrikeContext
from integration.hosts.daemon import flanpyctl
from integration.net.waiting import wait_until

_operator = partial(Fault, family=Family.OPERATOR, part=Part.DAEMON)
TRACEBACK = "Traceback (most recent call last)"
UNDO_S = 20.0
"""How long an operator tries to take a host back; etcd may be away meanwhile."""


def _ctl(context: StrikeContext, *words: str) -> int:
    """The exit code. Any of flanpyctl's will do, for it may well find nobody; a traceback is no answer."""
    done = context.host.run(*flanpyctl(), *words, check=False, timeout=120.0)
    if TRACEBACK in done.stderr:
        context.accuse(f"flanpyctl {' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")
    return done.returncode


def _reloaded(context: StrikeContext) -> Iterator[Evidence | None]:
    for _ in range(3):
        _ctl(context, "reload")
        context.pause(context.between(0, context.lasts / 3))
    yield None


def _doctor_fixes(context: StrikeContext) -> Iterator[Evidence | None]:
    _ctl(context, "doctor", "--fix", "--yes")
    yield None


def _drained(context: StrikeContext) -> Iterator[Evidence | None]:
    """Out of the overlay, and back."""
    words = context.choose((("--force", "--cleanup"), ("--force",)))
    try:
        _ctl(context, "drain", *words)
        yield None
    finally:
        wait_until(
            lambda: _ctl(context, "drain", "--undo") == 0,
            f"{context.host.name} is taken back",
            deadline=UNDO_S,
            poll=0.5,
        )


FAULTS = (
    _operator(name="reloaded", title="the daemon reloads", strike=_reloaded, lasts=(0.5, 3), breaks=False),
    _operator(name="doctor_fixes", title="doctor mends", strike=_doctor_fixes, lasts=(0.1, 1), breaks=False),
    _operator(name="drained", title="the host is drained and taken back", strike=_drained, lasts=(0.5, 5)),
)
