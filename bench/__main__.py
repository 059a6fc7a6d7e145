"""`python -m bench`: measure, print the table, keep JSON and plot under bench/results."""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import document, modes, parts, record, table
from bench.figures import Figure
from bench.run import Run

ROOT = Path(__file__).resolve().parents[1]
DOCS, PACKAGE = ROOT / "docs", ROOT / "flanpy"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0 when every part could be measured; missed targets are shown, not failures."""
    arguments = _parser().parse_args(argv)
    names = _names(arguments.only)
    path: Path = arguments.results / "latest.json"
    if arguments.show or arguments.docs:
        only = names if arguments.only else []
        return _show(path, write_docs=arguments.docs, only=only)
    if os.geteuid() != 0:
        sys.stderr.write("bench: needs root, for network namespaces: run it with sudo\n")
        return 2
    # As any installed package is; a checkout where Python may not write would compile itself at each start.
    compileall.compile_dir(PACKAGE, quiet=1)
    run, about = Run(quick=arguments.quick), record.machine()
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names:
        try:
            taken = list(parts.measure(name, run))
        except Exception:  # noqa: BLE001 - the other parts' figures are worth having
            traceback.print_exc()
            failed.append(name)
            continue
        figures += taken
        # After each part: what a run of half an hour found outlives its being cut short.
        _keep(path, record.document(taken, about, quick=run.quick))
    if figures:
        _print(figures)
        _plot(record.load(path) or {}, path.with_suffix(".png"))
    for name in failed:
        sys.stderr.write(f"bench: part {name} could not be measured, see above\n")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    choices = ", ".join(parts.NAMES)
    parser.add_argument("--only", metavar="PART,...", default="", help=f"some of {choices}")
    parser.add_argument("--quick", action="store_true", help="few runs of each: minutes, and rough figures")
    parser.add_argument("--show", action="store_true", help="print the figures taken last, measure nothing")
    parser.add_argument(
        "--docs",
        action="store_true",
        help="the same, and write docs/benchmarks.md; with --only these sections",
    )
    parser.add_argument("--results", type=Path, default=record.RESULTS, help="directory (bench/results)")
    return parser


def _names(only: str) -> list[str]:
    wanted = [name for name in only.replace(" ", "").split(",") if name] or list(parts.NAMES)
    for name in wanted:
        if name not in parts.NAMES:
            sys.stderr.write(f"bench: no part {name!r}; there are {', '.join(parts.NAMES)}\n")
            raise SystemExit(2)
    return wanted


def _keep(path: Path, taken: dict[str, Any]) -> None:
    record.save(path, record.merged(record.load(path), taken, list(parts.TITLES)))


def _show(path: Path, *, write_docs: bool, only: Sequence[str] = ()) -> int:
    found = record.load(path)
    if found is None:
        sys.stderr.write(f"bench: no figures at {path} yet\n")
        return 1
    _print(record.figures_of(found))
    _plot(found, path.with_suffix(".png"))
    if write_docs and only:
        page = DOCS / "benchmarks.md"
        page.write_text(document.refreshed(page.read_text(), found, parts.TITLES, only))
    elif write_docs:
        (DOCS / "benchmarks.md").write_text(document.markdown(found, parts.TITLES))
        (DOCS / "measured-modes.md").write_text(document.measured_modes(found, modes.NAMES))
        shutil.copyfile(path.with_suffix(".png"), DOCS / "benchmarks.png")
    return 0


def _print(figures: Sequence[Figure]) -> None:
    print(table.render(figures, parts.TITLES))
    print()
    print(table.notes(figures))


def _plot(found: dict[str, object], path: Path) -> None:
    try:
        from bench.plot import draw  # noqa: PLC0415 - matplotlib is slow to import, and may be absent
    except ImportError as error:
        sys.stderr.write(f"bench: no plot: {error}\n")
        return
    draw(found, path)
    sys.stderr.write(f"bench: {path.with_suffix('.json')} and {path}\n")


if __name__ == "__main__":
    sys.exit(main())
