"""A soak as a table, a JSON document and a picture."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

from integration.drivers.soak.run import Soaked
from integration.drivers.soak.sample import Sample
from integration.drivers.soak.trend import judged, slope


def table(found: Soaked) -> str:
    """One row for each measure of each host."""
    head = (
        f"{'':4} {'measure':12} {'first':>9} {'last':>9} {'mean':>9} {'rise':>8} {'allowed':>8}"
        f" {'an hour':>9} {'from start':>10} {'last half':>10}"
    )
    lines = [head]
    for host in found.samples:
        for each in found.trends(host):
            lines.append(  # noqa: PERF401 - two loops read better than one comprehension
                f"{host:4} {each.bound.name:12} {each.first:9.2f} {each.last:9.2f} {each.mean:9.2f}"
                f" {each.rise:8.2f} {each.allowed:8.2f} {each.per_hour:9.2f} {each.whole_per_hour:10.2f}"
                f" {each.late_per_hour:10.2f} {each.bound.unit:4}{' GROWS' if each.grows else ''}"
            )
    lines += ["", f"{found.changes} changes among {found.peers} peers in {found.minutes:g} min"]
    return "\n".join([*lines, *found.growing])


def write(found: Soaked, path: Path) -> None:
    """Everything into a JSON file."""
    said = {
        "minutes": found.minutes,
        "peers": found.peers,
        "changes": found.changes,
        "growing": found.growing,
        "trends": {
            host: [
                asdict(each) | {"per_hour": each.per_hour, "grows": each.grows} for each in found.trends(host)
            ]
            for host in found.samples
        },
        "samples": {host: [asdict(each) for each in several] for host, several in found.samples.items()},
    }
    path.write_text(json.dumps(said, indent=1) + "\n")


def draw(found: Soaked, path: Path) -> None:
    """A panel for each measure, with the fitted line behind the warm-up."""
    import matplotlib as mpl  # noqa: PLC0415 - a second to load, for a picture only

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    names = [field.name for field in fields(Sample) if field.name != "at"]
    with mpl.rc_context(
        {"font.size": 9, "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}
    ):
        canvas, grid = plt.subplots(2, 5, figsize=(17, 6), layout="constrained", sharex=True)
        for axes, name in zip(grid.flat, names, strict=True):
            unit = next(
                (f", {bound.unit}" for bound in found.bounds if bound.name == name and bound.unit), ""
            )
            axes.set_title(f"{name.replace('_', ' ')}{unit}", loc="left")
            for host, samples in found.samples.items():
                points = [(each.at, float(getattr(each, name))) for each in samples]
                (line,) = axes.plot(*zip(*points, strict=True), linewidth=1, label=host)
                kept = judged(points)
                rate, middle = slope(kept), len(kept)
                x0 = sum(x for x, _ in kept) / middle
                y0 = sum(y for _, y in kept) / middle
                ends = [kept[0][0], kept[-1][0]]
                axes.plot(
                    ends, [y0 + rate * (x - x0) for x in ends], "--", color=line.get_color(), linewidth=1.6
                )
            axes.margins(y=0.3)
        grid.flat[0].legend(frameon=False)
        verdict = "; ".join(found.growing) or "nothing grows"
        canvas.suptitle(
            f"soak: {found.peers} peers, {found.changes} changes in {found.minutes:g} min: {verdict}",
            x=0.01,
            ha="left",
        )
        canvas.savefig(path)
        canvas.savefig(path.with_suffix(".png"), dpi=90)
        plt.close(canvas)
