"""`python -m tests.mutants flanpy/plan/admission.py`: which changes of a module does no test notice?

A module's tests are those of its directory (`flanpy/plan` has `tests/plan`), or those after `--tests`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

from tests.mutants.session import Session, Verdict, files

EXAMPLES = 20
"""Examples for each property: what these find is found in every run of the tests."""
NOTICED = ("killed", "timed out", "equivalent")
QUICK = "not netns and not etcd and not lab and not more_engines"


def main() -> int:
    """Judge the modules that were named; 1 if a change survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="MODULE", help="a file or a directory of flanpy"
    )
    parser.add_argument(
        "--tests", nargs="+", metavar="PATH", help="the tests to run (those of the same directory)"
    )
    parser.add_argument("--budget", type=float, default=5.0, help="seconds of tests for each change (5)")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help=f"for each property ({EXAMPLES})")
    typed = parser.parse_args()
    _tame_properties(typed.examples)
    paths = list(files(typed.paths))
    verdicts: list[Verdict] = []
    with os.fdopen(os.dup(1), "w") as stream:  # pytest takes the other one

        def tell(verdict: Verdict) -> None:
            verdicts.append(verdict)
            if verdict.outcome not in NOTICED:
                print(
                    f"{verdict.path}:{verdict.line}: {verdict.outcome}: {verdict.text}",
                    file=stream,
                    flush=True,
                )

        status = _run(typed, Session(paths, typed.budget, tell))
    if status not in (0, 5):
        return 2
    _sum_up(verdicts)
    return int(any(one.outcome in ("survived", "not run", "stale") for one in verdicts))


def _run(typed: argparse.Namespace, session: Session) -> int:
    tests = typed.tests or sorted({str(Path("tests", *path.parts[1:-1])) for path in session.paths})
    options = [
        "-o",
        "addopts=",
        "--timeout=0",
        "-m",
        QUICK,
        *(f"-pno:{name}" for name in ("cacheprovider", "xdist", "terminal")),
    ]
    return pytest.main([*options, *tests], plugins=[session])


def _tame_properties(examples: int) -> None:
    """Make properties quick, the same in every run, and silent about the smallest example."""
    made = hypothesis.settings.__init__

    def quick(self: hypothesis.settings, parent: hypothesis.settings | None = None, **given: object) -> None:
        if given.get("max_examples") is not None:
            given["max_examples"] = min(int(str(given["max_examples"])), examples)
        made(self, parent, **given)  # type: ignore[arg-type]

    hypothesis.settings.__init__ = quick  # type: ignore[method-assign]
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", max_examples=examples, phases=phases, database=None, derandomize=True, deadline=None
    )
    hypothesis.settings.load_profile("mutants")


def _sum_up(verdicts: list[Verdict]) -> None:
    for path in dict.fromkeys(one.path for one in verdicts):
        counted = Counter(one.outcome for one in verdicts if one.path == path)
        print(f"{path}: {', '.join(f'{number} {outcome}' for outcome, number in counted.most_common())}")


if __name__ == "__main__":
    sys.exit(main())
