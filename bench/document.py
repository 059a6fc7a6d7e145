"""Figures as docs/benchmarks.md: how they were taken, the tables, what exactly each is. Pure: text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

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


_BUSY: Final = 1.0
"""The load for each core from which a run shared the machine."""


def refreshed(page: str, found: Mapping[str, Any], titles: Mapping[str, str], parts: Iterable[str]) -> str:
    """Return the page with the sections of these parts taken from `found`, each saying how it was taken.

    All other sections stay as they stand: they are of another run.
    """
    wanted = set(parts)
    for part, group in groupby(figures_of(dict(found)), key=lambda each: each.part):
        if part in wanted:
            lines = [f"## {titles[part]}", "", _how(found), "", *_section(list(group))]
            page = _with_section(page, part, "\n".join(lines) + "\n", list(titles.items()))
    return page


def _with_section(page: str, part: str, section: str, titles: list[tuple[str, str]]) -> str:
    """Put a section in its place, before the next one that the page has."""
    order = [title for _, title in titles]
    own = order.index(dict(titles)[part])
    head, *blocks = page.split("\n## ")
    kept = [block for block in blocks if block.partition("\n")[0] != order[own]]
    later = set(order[own + 1 :])
    at = next((n for n, block in enumerate(kept) if block.partition("\n")[0] in later), len(kept))
    kept.insert(at, section.removeprefix("## "))
    return "\n## ".join([head, *kept])


def _how(found: Mapping[str, Any]) -> str:
    """Return when and on what a section's run was, that others shared the machine if they did."""
    about = found["machine"]
    quick = ", quick" if found["quick"] else ""
    busy = about["load"] > _BUSY * about["cores"]
    load = f"; other programs shared the machine (load {about['load']:.1f})" if busy else ""
    return (
        f"A run of its own{quick}, {found['taken_at'][:10]}: {about['cores']} cores of {about['cpu']}, Linux"
        f" {about['kernel']}, Python {about['python']}, flanpy {about['commit']}{load}."
    )


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
