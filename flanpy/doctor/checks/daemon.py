"""The checks of the daemon: it answers, its health can be asked, its settings are those it was given."""

from __future__ import annotations

from collections.abc import Iterator

from flanpy.doctor.checks.common import Problem, judged
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Repair, Severity

_SILENT = Problem("P31", "the daemon of this host does not answer")
_LISTENERS = Problem("P31", "nobody can ask the daemon for its health")
_RESTART = Problem("P35", "the daemon runs with other settings than it was given")


def answers(facts: Facts) -> Iterator[Finding]:
    if facts.daemon_problem:
        cure = "start flanpyd, and see its log; what follows was found without it"
        yield _SILENT.found(facts.daemon_problem, cure=cure)


def settings(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "ListenersUp", _LISTENERS, severity=Severity.WARNING)
    yield from judged(facts, "RestartNeeded", _RESTART, reasons=("ConfigChanged",), severity=Severity.WARNING)
    if facts.told.stale and facts.condition("RestartNeeded") is None:
        yield _RESTART.found(
            *facts.told.stale,
            cure="let the daemon read its file again",
            severity=Severity.WARNING,
            repair=Repair(("flanpyctl", "reload")),
        )
