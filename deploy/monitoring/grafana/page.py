"""A page of panels: the grid, the variables, and what Grafana wants to know besides."""

from __future__ import annotations

from collections.abc import Iterable

from grafana.panels import SOURCE, Json

WIDTH = 24
"""Columns of Grafana's grid."""

Row = tuple[str, list[list[Json]]]
"""A title, and lines of panels that share a line's width."""

HEIGHTS = {"stat": 4, "table": 9, "state-timeline": 9}


def placed(rows: Iterable[Row]) -> list[Json]:
    """All panels with their numbers and places."""
    found: list[Json] = []
    top = 0
    for title, lines in rows:
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        found.append({"type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
        top += 1
        for line in lines:
            height = max(HEIGHTS.get(one["type"], 8) for one in line)
            width = WIDTH // len(line)
            for at, one in enumerate(line):
                found.append({**one, "gridPos": {"x": at * width, "y": top, "w": width, "h": height}})
            top += height
    return [{**one, "id": number} for number, one in enumerate(found, 1)]


def variable(name: str, label: str, expression: str) -> Json:
    """A choice of label values, all of them at first."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": expression,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


_CHOSEN = "${DS_PROMETHEUS}"
"""The placeholder for the Prometheus that is chosen in the form of an import. One that is provisioned, which has
no form, shows the first Prometheus there is."""

_PROMETHEUS: Json = {
    "name": _CHOSEN[2:-1],
    "label": "Prometheus",
    "description": "The Prometheus that scrapes flanpyd",
    "type": "datasource",
    "pluginId": "prometheus",
    "pluginName": "Prometheus",
}
_REQUIRED: list[Json] = [
    {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.1.0"},
    {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
]


def dashboard(uid: str, title: str, about: str, rows: Iterable[Row], *variables: Json) -> Json:
    """The page as Grafana imports it."""
    source = {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "current": {"selected": True, "text": _CHOSEN, "value": _CHOSEN},
    }
    others = {"type": "dashboards", "title": "flanpy", "tags": ["flanpy"], "asDropdown": False}
    links = [
        {
            **others,
            "icon": "",
            "tooltip": "",
            "url": "",
            "targetBlank": False,
            "includeVars": False,
            "keepTime": True,
        }
    ]
    return {
        "__inputs": [_PROMETHEUS],
        "__requires": _REQUIRED,
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["flanpy"],
        "schemaVersion": 38,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "annotations": {"list": []},
        "links": links,
        "panels": placed(rows),
    }
