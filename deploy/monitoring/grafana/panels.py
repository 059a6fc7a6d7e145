"""Panels of Grafana as JSON: what they have in common - colours, units, how a query looks - is said once, here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}

GOOD, WARN, BAD, UNKNOWN = "green", "orange", "red", "text"

NAMED = " * on (instance, job) group_left (node) flanpy_node_info"
"""Makes the label `node` of a series of a host."""


def query(expression: str, legend: str = "", *, table: bool = False, heat: bool = False) -> Json:
    """One query; `table` asks for the last values only."""
    kind = "table" if table else "heatmap" if heat else "time_series"
    asked: Json = {
        "datasource": SOURCE,
        "expr": expression,
        "format": kind,
        "legendFormat": legend or "__auto",
    }
    return {**asked, "instant": table, "range": not table}


def panel(kind: str, title: str, queries: Sequence[Json], about: str, **more: Any) -> Json:
    """A panel without its place; `more` are `unit`, `options`, `custom`, `steps`, `mappings`, `transformations`."""
    defaults: Json = {"unit": more.get("unit", "short"), "mappings": more.get("mappings", [])}
    defaults["thresholds"] = {"mode": "absolute", "steps": more.get("steps", steps())}
    defaults["color"] = {"mode": "thresholds" if "steps" in more else "palette-classic"}
    if "custom" in more:
        defaults["custom"] = more["custom"]
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "targets": [{**one, "refId": chr(ord("A") + at)} for at, one in enumerate(queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": more.get("options", {}),
        "transformations": more.get("transformations", []),
    }


def steps(*pairs: tuple[float, str], base: str = GOOD) -> list[Json]:
    """Colours from each value on; `base` below the first."""
    return [{"value": None, "color": base}, *({"value": value, "color": colour} for value, colour in pairs)]


def values(**texts: tuple[str, str]) -> list[Json]:
    """What to show in place of a number: its text and colour."""
    options = {
        number.removeprefix("_"): {"text": text, "color": colour, "index": at}
        for at, (number, (text, colour)) in enumerate(texts.items())
    }
    return [{"type": "value", "options": options}]


YES_NO = values(_1=("yes", GOOD), _0=("NO", BAD))
BAD_IF_NONE = steps((1, GOOD), base=BAD)
BAD_IF_ANY = steps((1, BAD))


def number(title: str, expression: str, about: str, **more: Any) -> Json:
    """One large number."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
        "colorMode": "background",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
    }
    return panel("stat", title, [query(expression)], about, options=options, **more)


def graph(title: str, queries: Sequence[Json], about: str, *, stacked: bool = False, **more: Any) -> Json:
    """Lines over time."""
    custom: Json = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if stacked else 5}
    custom["stacking"] = {"mode": "normal" if stacked else "none", "group": "A"}
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "right",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, queries, about, custom=custom, options=options, **more)


def timeline(title: str, expression: str, legend: str, about: str, **more: Any) -> Json:
    """A bar of colours for each series."""
    options = {
        "mergeValues": True,
        "showValue": "never",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 80, "lineWidth": 0}
    asked = [query(expression, legend)]
    return panel("state-timeline", title, asked, about, options=options, custom=custom, **more)


def matrix(title: str, expression: str, about: str, **more: Any) -> Json:
    """N x N: a row for each host that measures, a column for each peer that is measured, a colour for the value."""
    to_matrix = {"columnField": "peer", "rowField": "node", "valueField": "Value"}
    sort = {"fields": {}, "sort": [{"field": "node\\peer"}]}
    return panel(
        "table",
        title,
        [query(expression, table=True)],
        about,
        custom={
            "align": "center",
            "cellOptions": {"type": "color-background", "mode": "basic"},
            "inspect": False,
        },
        options={"showHeader": True, "cellHeight": "sm"},
        transformations=[
            {"id": "groupingToMatrix", "options": to_matrix},
            {"id": "sortBy", "options": sort},
        ],
        **more,
    )


def listing(title: str, expression: str, about: str, *, hidden: Iterable[str] = (), **more: Any) -> Json:
    """A table of the labels and the value of each series."""
    names = dict.fromkeys(("Time", "__name__", "job", *hidden), True)
    return panel(
        "table",
        title,
        [query(expression, table=True)],
        about,
        custom={"align": "auto", "inspect": False},
        options={"showHeader": True, "cellHeight": "sm"},
        transformations=[{"id": "organize", "options": {"excludeByName": names}}],
        **more,
    )


def heat(title: str, expression: str, about: str, *, unit: str) -> Json:
    """A histogram over time."""
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "reverse": False},
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "cellGap": 1,
        "legend": {"show": True},
        "tooltip": {"show": True, "yHistogram": False},
    }
    return panel("heatmap", title, [query(expression, "{{le}}", heat=True)], about, options=options)
