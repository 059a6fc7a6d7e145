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

from integration.drivers.chaos.run import Outcome
from integration.drivers.chaos.verdict import unexcused
from integration.faults.catalogue import FAULTS
from integration.faults.fault import Family

INK, FAINT, GAP, WELL = "#1f2933", "#e8ecf0", "#c8403a", "#3f8f5f"
COLOURS = {
    Family.ETCD: "#8a63c4",
    Family.KERNEL: "#e0a030",
    Family.NETWORK: "#2563a8",
    Family.HOST: "#5f8a3c",
    Family.OPERATOR: "#2a9d9d",
}
MISSED, CALM = "#b9c2cc", "#f3efe2"
MARKS = {"repair": ("|", INK), "lease": ("D", "#8a63c4"), "brake": ("s", "#e0703a")}
SLOTS = 4
"""Bars that lie above each other in a row before they share a place."""
UNTOUCHED = "no fault"
LETTER_S = 0.62
"""What a letter of a label is wide, in seconds of a picture that has ten to the inch."""


def draw(outcome: Outcome, path: Path) -> None:
    """Write the picture; its form is by the file's name."""
    hosts = [f"h{number}" for number in range(1, outcome.hosts + 1)]
    rows = ["etcd", *hosts, UNTOUCHED]
    seconds = max(1.0, outcome.ended - outcome.began)
    size = (min(40.0, max(12.0, seconds / 10)), 1.7 + 0.95 * len(rows))
    with mpl.rc_context({"font.size": 8, "svg.fonttype": "none", "text.color": INK}):
        canvas, axes = plt.subplots(figsize=size, layout="constrained")
        _lanes(axes, rows, seconds)
        _calms(axes, outcome)
        _faults(axes, outcome, rows, seconds / size[0] / 10)
        _marks(axes, outcome, rows)
        _gaps(axes, outcome, rows)
        _untouched(axes, outcome, hosts)
        _legend(axes, outcome)
        canvas.savefig(path)
        if path.suffix == ".svg":
            canvas.savefig(path.with_suffix(".png"), dpi=90)
        plt.close(canvas)


def _lanes(axes: Axes, rows: list[str], seconds: float) -> None:
    axes.set_xlim(0, seconds)
    axes.set_ylim(len(rows) - 0.6, -0.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=10)
    axes.set_xlabel("seconds")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    for at in range(len(rows)):
        axes.axhline(at - 0.5, color=FAINT, linewidth=1, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _calms(axes: Axes, outcome: Outcome) -> None:
    """From the last fault of a storm until all was well, shaded."""
    for window in outcome.windows:
        begin, end = window.calm - outcome.began, window.well - outcome.began
        axes.axvspan(begin, end, color=CALM, zorder=0)
        text = f"well after {end - begin:.1f} s"
        axes.text(end, -0.53, text, va="bottom", ha="right", fontsize=7)


def _faults(axes: Axes, outcome: Outcome, rows: list[str], scale: float) -> None:
    """`scale`: how many times denser the picture is than ten seconds to the inch."""
    free: dict[tuple[str, int], float] = {}
    for window in outcome.windows:
        for each in sorted(window.struck, key=lambda struck: struck.begin):
            begin, end = each.begin - outcome.began, each.end - outcome.began
            colour = MISSED if each.missed else COLOURS[FAULTS[each.blow.kind].family]
            for row in each.blow.hosts or ("etcd",):
                width = max(end - begin, 0.25)
                slot = next((n for n in range(SLOTS) if free.get((row, n), 0.0) <= begin), SLOTS - 1)
                at = rows.index(row) - 0.4 + slot * 0.19
                text = each.blow.kind.replace("_", " ")
                free[row, slot] = begin + max(width, len(text) * LETTER_S * scale) + 0.3
                axes.barh(at, width, left=begin, height=0.08, color=colour, zorder=2)
                axes.text(begin, at + 0.045, text, fontsize=6.4, va="top", clip_on=True, zorder=3)


def _marks(axes: Axes, outcome: Outcome, rows: list[str]) -> None:
    for mark in outcome.marks:
        if mark.what in MARKS and mark.at >= outcome.began:
            sign, colour = MARKS[mark.what]
            axes.plot(
                mark.at - outcome.began,
                rows.index(mark.host) + 0.36,
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
                [loss.begin - outcome.began, loss.end - outcome.began], [rows.index(host) + 0.45] * 2,
                color=GAP, linewidth=7 if loss in guilty else 3, solid_capstyle="butt", zorder=5,
            )  # fmt: skip


def _untouched(axes: Axes, outcome: Outcome, hosts: list[str]) -> None:
    """The hosts of each storm that nothing struck which may cost packets: none of theirs may be lost."""
    guilty = unexcused(outcome.flows.losses, outcome.windows)
    for window in outcome.windows:
        spared = [host for host in hosts if window.exposed_since(host) is None]
        if len(spared) < 2:
            continue
        lost = sum(loss.lost for loss in guilty if window.begin <= loss.end and loss.begin <= window.well)
        begin, end = window.begin - outcome.began, window.well - outcome.began
        axes.barh(
            len(hosts) + 1, end - begin, left=begin, height=0.3, color=GAP if lost else WELL, alpha=0.25
        )
        text = f"{' '.join(spared)}: {lost} lost"
        axes.text(begin, len(hosts) + 1, f" {text}", va="center", fontsize=7, clip_on=True)


def _legend(axes: Axes, outcome: Outcome) -> None:
    signs: list[Artist] = [Patch(color=colour, label=family.value) for family, colour in COLOURS.items()]
    signs += [
        Line2D([], [], marker=sign, color=colour, linestyle="", label=what)
        for what, (sign, colour) in MARKS.items()
    ]
    signs += [
        Line2D([], [], color=GAP, linewidth=3, label="gap of a flow"),
        Patch(color=MISSED, label="nothing to strike"),
        Patch(color=CALM, label="calm until all is well"),
    ]
    axes.legend(
        handles=signs, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=len(signs), frameon=False
    )
    verdict = f"{len(outcome.violations)} violations" if outcome.violations else "nothing violated"
    struck = sum(not each.missed for window in outcome.windows for each in window.struck)
    title = f"chaos, {outcome.backend}, seed {outcome.seed}: {struck} faults, {verdict}"
    axes.set_title(title, loc="left", pad=16, fontsize=10)
