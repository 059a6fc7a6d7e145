"""Figures as docs/benchmarks.md: how they were taken, the tables, what exactly each is. Pure: text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from bench.figures import Figure
from bench.record import figures_of
from bench.table import digits, row, summary

HEAD = """\
# Benchmarks

Written by `python -m bench --docs` from the figures of `bench/results/latest.json`; edit `bench/`, not this file.

`make bench` takes them all again (as root, about 40 minutes; `BENCH_ARGS="--quick"` about ten, roughly;
`BENCH_ARGS="--only latency,idle"` some). It prints the tables below, and keeps `latest.json` and `latest.png` in
`bench/results/`. Everything runs in network namespaces of its own, with a real kernel, a real etcd and real daemons.

- A value is the median of single runs; the quartiles stand beside it. Ratios are taken between runs that alternate, so
  that a noisy machine disturbs both sides alike.
- Targets are those the project set itself. The last column is what flannel v0.28 took on a machine of the same kind, in
  a run of its own; it was not measured again here.
- A missed target is shown, never raised: no test depends on the speed of a machine.

::::{container} wide chart
```{image} benchmarks.png
:alt: All figures in one picture
:class: drawing
:target: _images/benchmarks.png
```
::::
"""


def markdown(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The page of a document (see bench.record)."""
    figures = figures_of(dict(found))
    about = found["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    taken = (
        f"Taken {found['taken_at'][:10]}{' in a quick run' if found['quick'] else ''} on {about['cores']} cores of "
        f"{about['cpu']}, Linux {about['kernel']}, Python {about['python']}, {about['iproute2']}; {packages}."
    )
    blocks = [HEAD, taken, "", f"**{summary(figures)}.**"]
    for part, group in groupby(figures, key=lambda each: each.part):
        blocks += ["", f"## {titles.get(part, part)}", "", *_section(list(group))]
    return "\n".join(blocks) + "\n"


def _section(figures: list[Figure]) -> Iterable[str]:
    yield "| figure | median | quartiles | target | | flannel |"
    yield "|---|---:|---:|---:|---|---|"
    for each in figures:
        cells = row(each)
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
    notes = dict.fromkeys(each.note for each in figures if each.note)
    for note in notes:
        yield ""
        yield note


def _cell(text: str) -> str:
    inner = text.strip().replace("|", "\\|").replace("<=", "≤").replace(">=", "≥")
    return f"... {inner}" if text.startswith("  ") else inner


def measured_modes(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The table of the page on network modes: for each of `names` TCP and round trip against `--network host`."""
    values = {each.id: f"{digits(each.value)} x" for each in figures_of(dict(found)) if each.part == "modes"}
    lines = [
        "| mode | TCP throughput | round trip |",
        "|---|---:|---:|",
        "| `--network host`, between hosts | 1 x | 1 x |",
    ]
    for slug, name in names.items():
        cells = (values.get(f"modes.{slug}.{what}.ratio", "") for what in ("tcp", "ping"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
