"""A run as a timeline: a row for etcd and for each host, bars for faults, marks for repairs, gaps of flows in red."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from integration.chaos.catalogue import KINDS
from integration.chaos.kinds import Family
from integration.chaos.run import Outcome
from integration.chaos.verdict import unexcused

INK, FAINT, GAP = "#1f2933", "#e8ecf0", "#c8403a"
COLOURS = {
    Family.ETCD: "#8a63c4",
    Family.KERNEL: "#e0a030",
    Family.NETWORK: "#2563a8",
    Family.HOST: "#5f8a3c",
}
MARKS = {"repair": ("|", "#1f2933"), "lease": ("D", "#8a63c4"), "brake": ("s", "#c8403a")}
SLOTS = 4
"""Bars that lie above each other in a row before they share a place."""


def draw(outcome: Outcome, path: Path) -> None:
    """Write the picture; its form is by the file's name."""
    rows = ["etcd", *(f"h{number}" for number in range(1, outcome.hosts + 1))]
    seconds = max(1.0, outcome.ended - outcome.began)
    size = (min(40.0, max(12.0, seconds / 10)), 1.6 + 1.05 * len(rows))
    with mpl.rc_context({"font.size": 8, "svg.fonttype": "none", "text.color": INK}):
        canvas, axes = plt.subplots(figsize=size, layout="constrained")
        _lanes(axes, rows, seconds)
        _calms(axes, outcome)
        _faults(axes, outcome, rows)
        _marks(axes, outcome, rows)
        _gaps(axes, outcome, rows)
        _legend(axes, outcome)
        canvas.savefig(path)
        if path.suffix == ".svg":
            canvas.savefig(path.with_suffix(".png"), dpi=90)
        plt.close(canvas)


def _lanes(axes: Axes, rows: list[str], seconds: float) -> None:
    axes.set_xlim(0, seconds)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_yticks(range(len(rows)), rows, fontsize=10)
    axes.set_xlabel("seconds")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    for at in range(len(rows) + 1):
        axes.axhline(at - 0.5, color=FAINT, linewidth=1, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _calms(axes: Axes, outcome: Outcome) -> None:
    """From the last fault of a storm until all was well, shaded."""
    for window in outcome.windows:
        begin, end = window.calm - outcome.began, window.well - outcome.began
        axes.axvspan(begin, end, color="#f3efe2", zorder=0)
        axes.text(begin, -0.57, f" {window.storm}: well after {end - begin:.1f} s", va="bottom", fontsize=7)


def _faults(axes: Axes, outcome: Outcome, rows: list[str]) -> None:
    free: dict[tuple[str, int], float] = {}
    for window in outcome.windows:
        for each in sorted(window.struck, key=lambda struck: struck.begin):
            begin, end = each.begin - outcome.began, each.end - outcome.began
            colour = "#b9c2cc" if each.missed else COLOURS[KINDS[each.blow.kind].family]
            for row in each.blow.hosts or ("etcd",):
                width = max(end - begin, 0.25)
                slot = next((n for n in range(SLOTS) if free.get((row, n), 0.0) <= begin), SLOTS - 1)
                at = rows.index(row) - 0.36 + slot * 0.19
                text = each.blow.kind.replace("_", " ")
                free[row, slot] = begin + max(width, len(text) * 0.55) + 0.3
                axes.barh(at, width, left=begin, height=0.075, color=colour, zorder=2)
                axes.text(begin, at + 0.045, text, fontsize=6.2, va="top", clip_on=True, zorder=3)


def _marks(axes: Axes, outcome: Outcome, rows: list[str]) -> None:
    for mark in outcome.marks:
        if mark.what in MARKS and mark.at >= outcome.began:
            sign, colour = MARKS[mark.what]
            axes.plot(
                mark.at - outcome.began,
                rows.index(mark.host) + 0.4,
                sign,
                color=colour,
                markersize=4,
                zorder=4,
            )


def _gaps(axes: Axes, outcome: Outcome, rows: list[str]) -> None:
    """Time in which packets from or to a struck host did not come; what nothing explains is thick, at both ends."""
    guilty = set(unexcused(outcome.flows.losses, outcome.windows))
    for loss in outcome.flows.losses:
        for host in (loss.source, loss.target):
            if loss not in guilty and not any(
                window.begin <= loss.end and loss.begin <= window.well and window.exposed_since(host)
                for window in outcome.windows
            ):
                continue
            axes.plot(
                [loss.begin - outcome.began, loss.end - outcome.began], [rows.index(host) + 0.46] * 2,
                color=GAP, linewidth=6 if loss in guilty else 1.6, solid_capstyle="butt", zorder=5,
                alpha=1.0 if loss in guilty else 0.7,
            )  # fmt: skip


def _legend(axes: Axes, outcome: Outcome) -> None:
    signs: list[Artist] = [Patch(color=colour, label=family.value) for family, colour in COLOURS.items()]
    signs += [
        Line2D([], [], marker=sign, color=colour, linestyle="", label=what)
        for what, (sign, colour) in MARKS.items()
    ]
    signs += [
        Line2D([], [], color=GAP, label="flow gap at a struck host"),
        Patch(color="#b9c2cc", label="missed"),
        Patch(color="#f3efe2", label="calm"),
    ]
    axes.legend(
        handles=signs, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(signs), frameon=False
    )
    verdict = f"{len(outcome.violations)} violations" if outcome.violations else "nothing violated"
    axes.set_title(f"chaos, seed {outcome.seed}: {verdict}", loc="left", pad=16, fontsize=10)
