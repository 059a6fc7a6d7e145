"""One pytest session as a server: it collects once, learns what each test runs, and forks for each change.

A child makes its change, runs the tests that ran the changed lines, the quickest first, and ends at the first failure.
"""

from __future__ import annotations

import ast
import gc
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from tests.mutants import live
from tests.mutants.changes import Change, changes
from tests.mutants.equivalent import known, stale

KILLED, SURVIVED, UNCHANGED = 1, 0, 3
PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one change."""

    path: str
    line: int
    text: str
    outcome: str


@dataclass(slots=True, eq=False)
class Session:
    """A plugin of pytest. `paths` are the files to be changed, `budget_s` the time of tests for each change.

    `found` is called with each verdict as it comes.
    """

    paths: Sequence[Path]
    budget_s: float
    found: Callable[[Verdict], None]
    _lines: dict[int, set[tuple[str, int]]] = field(default_factory=dict)
    _took: dict[int, float] = field(default_factory=dict)
    _loaded: live.Loaded = field(init=False)
    _failed: bool = False
    _why: str = ""
    _killers: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure, and its text while nothing is changed."""
        self._failed = self._failed or report.failed
        self._why = report.longreprtext if report.failed else self._why

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all tests once, then some of them for each change."""
        self._loaded = live.Loaded()
        self._learn(session.items)
        gc.collect()
        gc.freeze()
        for path in self.paths:
            if path.name != "__init__.py":
                self._judge(path, session.items)
        return True

    def _learn(self, items: Sequence[pytest.Item]) -> None:
        names = {str(path.resolve()): str(path) for path in self.paths}
        for number, item in enumerate(items):
            lines = self._lines[number] = set()
            self._loaded.forget_results()
            begun = time.process_time()
            with _traced(names, lines):
                self._run(item, items[number + 1] if number + 1 < len(items) else None)
            self._took[number] = time.process_time() - begun
            if self._failed:
                raise pytest.UsageError(f"{item.nodeid} fails without any change: {self._why}")

    @staticmethod
    def _run(item: pytest.Item, following: pytest.Item | None) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _judge(self, path: Path, items: Sequence[pytest.Item]) -> None:
        tree = ast.parse(path.read_text())
        module = importlib.import_module(".".join(path.with_suffix("").parts))
        equivalent = known().get(str(path), {})
        for text in stale(tree, equivalent):
            self.found(Verdict(str(path), 0, text, "stale"))
        for change in list(changes(tree)):
            tests = self._tests_of(str(path), change)
            text, outcome, killer = self._try(module, tree, change, [(at, items[at]) for at in tests])
            if killer is not None:
                self._killers.setdefault((str(path), change.place), []).insert(0, killer)
            if text in equivalent:
                outcome = "equivalent" if outcome in ("survived", "not run") else outcome
            elif not tests and outcome == "survived":
                outcome = "not run"
            self.found(Verdict(str(path), change.lines[0], text, outcome))

    def _tests_of(self, path: str, change: Change) -> list[int]:
        """Choose the tests that ran the changed lines, those that noticed a change nearby first, then the quickest."""
        statement = change.statement
        wider = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        for lines in (change.lines, wider):
            wanted = {(path, line) for line in lines}
            found = [at for at, ran in self._lines.items() if not change.place or not ran.isdisjoint(wanted)]
            if found:
                break
        last = {
            at: rank for rank, at in enumerate(dict.fromkeys(self._killers.get((path, change.place), ())))
        }
        chosen: list[int] = []
        spent = 0.0
        for at in sorted(found, key=lambda at: (min(9, last.get(at, 9)), self._took[at])):
            spent += self._took[at]
            if spent > self.budget_s and chosen:
                break
            chosen.append(at)
        return chosen

    def _try(
        self, module: ModuleType, tree: ast.Module, change: Change, tests: Sequence[tuple[int, pytest.Item]]
    ) -> tuple[str, str, int | None]:
        receiving, sending = os.pipe()
        child = os.fork()
        if not child:
            os.close(receiving)
            gc.disable()
            os.write(sending, f"{change.make()}\n".encode())
            os._exit(
                self._child(
                    partial(self._loaded.put, module, tree, change.place, change.statement), tests, sending
                )
            )
        os.close(sending)
        with os.fdopen(receiving, "rb") as stream:
            told = stream.read().decode().split("\n")
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        killer = int(told[1]) if len(told) > 2 else None
        names = {SURVIVED: "survived", KILLED: "killed", UNCHANGED: "not changed"}
        return told[0], names.get(code, "timed out"), killer

    def _child(self, put: Callable[[], None], tests: Sequence[tuple[int, pytest.Item]], sending: int) -> int:
        budget = 5 + 5 * sum(self._took[at] for at, _ in tests)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, budget)
        signal.alarm(int(PATIENCE_S + 5 * budget))
        null = os.open(os.devnull, os.O_RDWR)
        for at in (1, 2):
            os.dup2(null, at)
        try:
            put()
            self._loaded.forget_results()
        except live.Unchangeable:
            return UNCHANGED
        except Exception:  # noqa: BLE001, a constant that cannot be worked out is noticed at once
            return KILLED
        for at, item in tests:
            try:
                self._run(item, None)
            except BaseException:  # noqa: BLE001, whatever it is, it was noticed
                self._failed = True
            if self._failed:
                os.write(sending, f"{at}\n".encode())
                return KILLED
        return SURVIVED


class _traced:  # noqa: N801, a context as a function would be
    """Note the lines of `names` that run meanwhile."""

    def __init__(self, names: dict[str, str], lines: set[tuple[str, int]]) -> None:
        self._names, self._lines = names, lines

    def __enter__(self) -> None:
        threading.settrace(self._call)
        sys.settrace(self._call)

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._names else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._lines.add((self._names[frame.f_code.co_filename], frame.f_lineno))
        return self._line


def files(paths: Sequence[Path]) -> Iterator[Path]:
    """Expand directories to the modules in them."""
    for path in paths:
        yield from sorted(path.glob("*.py")) if path.is_dir() else (path,)
