"""The figures of a run as one picture: how each stands to its target, and six panels of comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.figures import Figure, Verdict
from bench.record import figures_of
from bench.table import digits, number

INK, FAINT = "#1f2933", "#9aa5b1"
OURS, THEIRS, SLOW = "#2563a8", "#e0a030", "#b9c2cc"
MET, MISSED = "#2e8b57", "#c8403a"
SHADES = ("#9ecae1", "#5a9bd0", "#12497f")
Figures = Mapping[str, Figure]

STYLE: Any = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def draw(found: dict[str, Any], path: Path) -> None:
    """Write the picture of a document (see bench.record) to a PNG file."""
    figures = {each.id: each for each in figures_of(found)}
    with mpl.rc_context(STYLE):
        canvas = plt.figure(figsize=(16, 16), layout="constrained")
        grid = canvas.add_gridspec(5, 3, width_ratios=(1.35, 1, 1))
        _targets(canvas.add_subplot(grid[:, 0]), list(figures.values()))
        panels = (
            *(_programming, _reading, _latency, _starting, _memory, _path),
            *(_udp_tcp, _udp_packets, _udp_ping, _udp_cpu),
        )
        for at, panel in enumerate(panels):
            panel(canvas.add_subplot(grid[at // 2, 1 + at % 2]), figures)
        canvas.suptitle(_title(found), x=0.01, ha="left", fontsize=11, color=INK)
        canvas.savefig(path, dpi=110)
        plt.close(canvas)


def _title(found: dict[str, Any]) -> str:
    about = found["machine"]
    quick = ", quick run" if found["quick"] else ""
    return (
        f"flanpy {about['commit']}, {found['taken_at'][:10]}{quick}: {about['cores']} cores {about['cpu']}, "
        f"Linux {about['kernel']}, Python {about['python']}"
    )


def _targets(axes: Axes, figures: Sequence[Figure]) -> None:
    """Value over target, on a logarithmic scale; what is left of the line keeps to its target."""
    judged = [each for each in figures if each.strain is not None][::-1]
    axes.set_title("Against the targets (left of the line: kept)")
    if not judged:
        _nothing(axes)
        return
    ratios = [max(each.strain or 0.0, 0.02) for each in judged]
    colours = [MET if each.verdict is Verdict.MET else MISSED for each in judged]
    axes.axvline(1, color=INK, linewidth=1)
    axes.hlines(
        range(len(judged)), [min(1, r) for r in ratios], [max(1, r) for r in ratios], colors=colours, lw=2
    )
    axes.scatter(ratios, range(len(judged)), c=colours, s=46, zorder=3)
    for at, each in enumerate(judged):
        text = f"{each.what.strip()}: {number(each.value, each.unit)} {_bound(each)}"
        axes.text(
            0, at + 0.2, text, transform=axes.get_yaxis_transform(), fontsize=8.2, va="bottom",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(min(0.08, *ratios) * 0.8, max(2.0, *ratios) * 1.15)
    axes.set_ylim(-0.6, len(judged) - 0.1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _zeros(axes, figures)


def _bound(each: Figure) -> str:
    if each.at_least is not None:
        return f"of at least {number(each.at_least, each.unit)}"
    return f"of {number(each.at_most or 0, each.unit)}"


def _zeros(axes: Axes, figures: Sequence[Figure]) -> None:
    """Targets of zero have no ratio: named below the others."""
    zero = [each for each in figures if each.at_most == 0]
    if zero:
        text = "\n".join(f"{each.what.strip()}: {digits(each.value)} of 0" for each in zero)
        axes.set_xlabel(text, loc="left", fontsize=8.2)


def _programming(axes: Axes, figures: Figures) -> None:
    axes.set_title("Peers programmed into an empty kernel, ms")
    rows = [
        ("1,000\nflanpy", "kernel.1000.flanpy", OURS),
        ("1,000\nip -batch", "kernel.1000.iproute2", THEIRS),
        ("1,000\npyroute2", "kernel.1000.pyroute2", SLOW),
        ("10,000\nflanpy", "kernel.10000.flanpy", OURS),
        ("10,000\nip -batch", "kernel.10000.iproute2", THEIRS),
    ]
    _bars(axes, figures, rows, log=True)


def _reading(axes: Axes, figures: Figures) -> None:
    axes.set_title("10,000 peers read back, ms")
    rows = [
        ("flanpy\nfirst", "readback.first", OURS),
        ("flanpy\nagain", "readback.again", OURS),
        ("ip -j", "readback.ip", THEIRS),
        ("pyroute2", "readback.pyroute2", SLOW),
        ("stall\nflanpy", "readback.first_stall", OURS),
        ("stall\npyroute2", "readback.pyroute2_stall", SLOW),
    ]
    _bars(axes, figures, rows, log=True)


def _memory(axes: Axes, figures: Figures) -> None:
    axes.set_title("Memory of the daemon, MiB")
    rows = [
        (f"{peers}\n{text}", f"memory.{number}.{key}", colour)
        for peers, number in (("1,000", 1000), ("10,000", 10_000))
        for text, key, colour in (("PSS", "pss", OURS), ("heap", "anonymous", SHADES[0]))
    ]
    _bars(axes, figures, rows)


def _bars(axes: Axes, figures: Figures, rows: Sequence[tuple[str, str, str]], *, log: bool = False) -> None:
    present = [(label, figures[id], colour) for label, id, colour in rows if id in figures]  # noqa: A001
    if not present:
        _nothing(axes)
        return
    for at, (_, each, colour) in enumerate(present):
        spread = each.spread
        axes.bar(at, each.value, color=colour, width=0.7)
        if len(each.samples) > 1:
            axes.vlines(at, spread.low, spread.high, color=INK, linewidth=1.2)
        top = max(each.value, spread.high) * (1.08 if log else 1.0)
        axes.annotate(
            digits(each.value), (at, top), (0, 2), textcoords="offset points", ha="center", fontsize=8.5
        )
        if each.at_most:
            axes.hlines(each.at_most, at - 0.45, at + 0.45, color=MISSED, linewidth=1.6, linestyle="--")
    axes.set_xticks(range(len(present)), [label for label, _, _ in present], fontsize=8.2)
    axes.tick_params(axis="x", length=0)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylim(top=axes.get_ylim()[1] * 2)
    else:
        axes.margins(y=0.15)


def _latency(axes: Axes, figures: Figures) -> None:
    axes.set_title("Lease put in etcd to peer in the kernel, ms")
    rows = [
        (figures[f"latency.{peers}"], f"{peers:,} peers", shade)
        for peers, shade in zip((0, 100, 1000), SHADES, strict=True)
        if f"latency.{peers}" in figures
    ]
    if not rows:
        _nothing(axes)
        return
    for each, label, shade in rows:
        ordered = sorted(each.samples)
        share = [(at + 1) / len(ordered) * 100 for at in range(len(ordered))]
        axes.step(
            ordered, share, color=shade, linewidth=1.8, where="post", label=f"{label}: {digits(each.value)}"
        )
    floor = figures.get("latency.floor")
    if floor is not None:
        label = f"event at a bare watch: {digits(floor.value)}"
        axes.axvline(floor.value, color=FAINT, linewidth=1.4, linestyle=":", label=label)
    axes.axvline(3, color=MISSED, linewidth=1.4, linestyle="--", label="target for the median: 3")
    last = max(sorted(each.samples)[int(len(each.samples) * 0.97) - 1] for each, _, _ in rows)
    axes.set_xlim(0, max(5.0, last))
    axes.set_ylabel("% of leases")
    axes.legend(loc="lower right", fontsize=8.2)


def _starting(axes: Axes, figures: Figures) -> None:
    """Stages of a start, one bar for each number of leases, and the target as a mark."""
    axes.set_title("exec to every peer programmed, s")
    counts = [count for count in (4000, 1000) if f"start.{count}" in figures]
    if not counts:
        _nothing(axes)
        return
    stages = ("settings", "network", "lease", "first", "")
    names = ("interpreter, settings", "imports, connection", "own lease", "list, plan", "programming")
    shades = (SLOW, *SHADES, THEIRS)
    for at, count in enumerate(counts):
        ends = [figures[f"start.{count}.{stage}".rstrip(".")].value for stage in stages]
        starts = [0.0, *ends[:-1]]
        for stage, (begin, end) in enumerate(zip(starts, ends, strict=True)):
            label = names[stage] if at == 0 else None
            axes.barh(at, max(0.0, end - begin), left=begin, color=shades[stage], height=0.5, label=label)
        whole = figures[f"start.{count}"]
        axes.annotate(digits(ends[-1]), (ends[-1], at), (4, 0), textcoords="offset points", va="center")
        axes.vlines(whole.at_most or 0, at - 0.38, at + 0.38, color=MISSED, linewidth=1.6, linestyle="--")
    axes.set_yticks(range(len(counts)), [f"{count:,}\nleases" for count in counts])
    axes.set_ylim(-0.6, len(counts) + 0.35)
    axes.margins(x=0.12)
    axes.legend(loc="upper left", ncols=3, fontsize=7.8, handlelength=1, columnspacing=1)


def _path(axes: Axes, figures: Figures) -> None:
    """Overlay beside underlay; each pair scaled to its underlay, as units differ."""
    axes.set_title("Container to container, against the bare underlay")
    kinds = [(slug, text) for slug, text in _TRAFFIC if f"path.{slug}.overlay" in figures]
    if not kinds:
        _nothing(axes)
        return
    for at, (slug, _text) in enumerate(kinds):
        over, bare = figures[f"path.{slug}.overlay"], figures[f"path.{slug}.underlay"]
        for side, each, colour in ((-0.19, over, OURS), (0.19, bare, THEIRS)):
            height = each.value / bare.value * 100
            axes.bar(at + side, height, width=0.36, color=colour)
            axes.annotate(
                number(each.value, each.unit), (at + side, height), (0, 2),
                textcoords="offset points", ha="center", fontsize=8.2,
            )  # fmt: skip
    software = figures.get("path.tcp.software")
    if software is not None and "path.tcp.underlay" in figures:
        height = software.value / figures["path.tcp.underlay"].value * 100
        axes.hlines(height, -0.37, -0.01, color=SHADES[0], linewidth=2.2, label="vxlan-tx-checksum = off")
    axes.bar(0, 0, color=OURS, label="overlay")
    axes.bar(0, 0, color=THEIRS, label="underlay = 100 %")
    axes.set_xticks(range(len(kinds)), [text for _, text in kinds])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("% of the underlay's")
    axes.margins(y=0.25)
    axes.legend(loc="upper left", fontsize=8.2)


_LANES = (
    ("kernel", "in-kernel\nplane", OURS),
    ("user", "user-space\nplane", SHADES[1]),
    ("vxlan", "kernel\nVXLAN", THEIRS),
    ("proxy", "one packet\nat a time", SLOW),
    ("bare", "no\noverlay", FAINT),
)


def _lanes(axes: Axes, figures: Figures, title: str, kinds: Sequence[tuple[str, str]]) -> None:
    """One group of bars for each kind (id with a gap for the lane, text), from full colour to pale."""
    axes.set_title(title)
    present = [lane for lane in _LANES if any(form.format(lane[0]) in figures for form, _ in kinds)]
    if not present:
        _nothing(axes)
        return
    width = 0.8 / len(kinds)
    for kind, (form, text) in enumerate(kinds):
        axes.bar(0, 0, color=INK, alpha=1 - 0.45 * kind, label=text)
        for at, (name, _label, colour) in enumerate(present):
            each = figures.get(form.format(name))
            if each is None:
                continue
            where = at + (kind - (len(kinds) - 1) / 2) * width
            axes.bar(where, each.value, width=width * 0.94, color=colour, alpha=1 - 0.45 * kind)
            axes.vlines(where, each.spread.low, each.spread.high, color=INK, linewidth=1.1)
            top = (where, max(each.value, each.spread.high))
            axes.annotate(
                digits(each.value), top, (0, 2), textcoords="offset points", ha="center", fontsize=8
            )
    axes.set_xticks(range(len(present)), [label for _, label, _ in present], fontsize=8.2)
    axes.tick_params(axis="x", length=0)
    axes.margins(y=0.22)
    if len(kinds) > 1:
        axes.legend(loc="upper left", ncols=len(kinds), fontsize=8.2)


def _udp_tcp(axes: Axes, figures: Figures) -> None:
    kinds = [("udp-tcp.whole.{}", "passed whole"), ("udp-tcp.frames.{}", "cut to frames of the MTU")]
    _lanes(axes, figures, "udp: TCP through the tunnel, Gbit/s", kinds)


def _udp_packets(axes: Axes, figures: Figures) -> None:
    kinds = [("udp-packets.flood.{}", "flood"), ("udp-packets.lossfree.{}", "none lost")]
    _lanes(axes, figures, "udp: 64-byte datagrams, thousands a second", kinds)


def _udp_ping(axes: Axes, figures: Figures) -> None:
    _lanes(axes, figures, "udp: ping through the tunnel, ms", [("udp-ping.{}", "ping")])


def _udp_cpu(axes: Axes, figures: Figures) -> None:
    kinds = [("udp-tcp.whole.cpu_{}", "passed whole"), ("udp-tcp.frames.cpu_{}", "cut to frames of the MTU")]
    _lanes(axes, figures, "udp: CPU seconds of the whole machine for each Gbit", kinds)


_TRAFFIC = (("tcp", "TCP throughput"), ("udp", "64-byte datagrams"), ("ping", "ping (less is better)"))


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", color=FAINT, transform=axes.transAxes)
    axes.set_axis_off()
