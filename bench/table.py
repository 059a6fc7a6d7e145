"""Figures as a table for a terminal. Pure: text out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from bench.figures import Figure, Verdict

HEAD = ("figure", "median", "quartiles", "target", "", "flannel")
_RIGHT = {1, 2, 3}


def number(value: float, unit: str) -> str:
    """A value with as many digits as matter, and its unit."""
    return f"{digits(value)} {unit}".rstrip()


def digits(value: float) -> str:
    """Three digits that matter, whole numbers whole."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"


def row(figure: Figure) -> tuple[str, ...]:
    """One figure's cells."""
    spread = figure.spread
    several = len(figure.samples) > 1
    return (
        figure.what,
        number(figure.value, figure.unit),
        f"{digits(spread.low)} .. {digits(spread.high)}" if several else "",
        _target(figure),
        figure.verdict.value,
        figure.flannel,
    )


def _target(figure: Figure) -> str:
    signs = (("<=", figure.at_most), (">=", figure.at_least))
    return ", ".join(f"{sign} {number(bound, figure.unit)}" for sign, bound in signs if bound is not None)


def render(figures: Sequence[Figure], titles: Mapping[str, str]) -> str:
    """The whole table, a block for each part under its title."""
    cells = [row(figure) for figure in figures]
    widths = [max(len(line[column]) for line in [HEAD, *cells]) for column in range(len(HEAD))]
    lines = [_line(HEAD, widths), _rule(widths)]
    for part, group in groupby(figures, key=lambda each: each.part):
        lines += [titles.get(part, part)]
        lines += [_line(row(figure), widths) for figure in group]
    return "\n".join([*lines, _rule(widths), summary(figures)])


def summary(figures: Iterable[Figure]) -> str:
    """Return how many targets were met, and which were not."""
    judged = [figure for figure in figures if figure.verdict is not Verdict.REPORTED]
    missed = [figure.id for figure in judged if figure.verdict is Verdict.MISSED]
    text = f"{len(judged) - len(missed)} of {len(judged)} targets met"
    return text + (f"; missed: {', '.join(missed)}" if missed else "")


def notes(figures: Iterable[Figure]) -> str:
    """Return the notes of figures whose names do not say all that was measured; equal notes once."""
    seen: dict[str, str] = {}
    for figure in figures:
        if figure.note:
            seen.setdefault(figure.note, figure.id)
    return "\n".join(
        textwrap.fill(f"{id}: {note}", 118, subsequent_indent="    ", break_long_words=False)
        for note, id in seen.items()  # noqa: A001
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in _RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return ("  " + "  ".join(padded)).rstrip()


def _rule(widths: Sequence[int]) -> str:
    return "  " + "-" * (sum(widths) + 2 * (len(widths) - 1))
