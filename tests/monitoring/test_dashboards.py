"""The dashboards that are shipped: what their script writes, known to Grafana's own types, about what flanpyd tells."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.monitoring import everything
from tests.monitoring.promtool import promtool

SHIPPED = Path(__file__).parents[2] / "deploy/monitoring"
NAMES = ("fleet", "leases", "node")

register_default_plugins()


def _page(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SHIPPED / f"dashboards/{name}.json").read_text())
    return found


def expressions(name: str) -> list[str]:
    """Every query of a page, with Grafana's variables filled in."""
    filled = {"$__rate_interval": "1m", "$instance": ".*"}
    asked = [query["expr"] for panel in _page(name)["panels"] for query in panel.get("targets", [])]
    return [re.sub(r"\$\w+", lambda found: filled[found[0]], one) for one in asked]


def _unknown(told: Any, taken: Any, path: str = "") -> Iterator[str]:
    """Yield the paths where `taken`, which Grafana's types made of `told`, lacks something of it."""
    if isinstance(told, dict):
        for key, value in told.items():
            if not isinstance(taken, dict) or key not in taken:
                yield f"{path}.{key}"
            else:
                yield from _unknown(value, taken[key], f"{path}.{key}")
    elif isinstance(told, list):
        same = isinstance(taken, list) and len(taken) == len(told)
        yield from () if same else (path,)
        for at, (one, other) in enumerate(zip(told, taken if same else (), strict=False)):
            yield from _unknown(one, other, f"{path}[{at}]")
    elif told != taken:
        yield f"{path}: {taken}"


def _unknown_to_grafana(page: dict[str, Any]) -> list[str]:
    page = {
        key: value for key, value in page.items() if key not in {"__inputs", "__requires"}
    }  # of the import's form
    taken = JSONEncoder().encode(Dashboard.from_json(copy.deepcopy(page)))
    return list(_unknown(page, json.loads(taken)))


def test_files_are_what_the_script_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SHIPPED / "dashboards.py", tmp_path], check=True, timeout=60)
    assert sorted(file.stem for file in tmp_path.iterdir()) == sorted(NAMES)
    for name in NAMES:
        assert (tmp_path / f"{name}.json").read_text() == (SHIPPED / f"dashboards/{name}.json").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_grafana_knows_every_field_of_a_dashboard(name: str) -> None:
    assert _unknown_to_grafana(_page(name)) == []


def test_field_that_grafana_does_not_know_is_found() -> None:
    page = _page("node")
    page["titel"] = "misspelt"
    page["panels"][1]["options"]["colourMode"] = "background"
    page["panels"][1]["gridPos"]["width"] = 4
    assert set(_unknown_to_grafana(page)) == {
        ".titel", ".panels[1].gridPos.width", ".panels[1].options.colourMode",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_numbers_of_their_own_a_title_and_a_place_of_their_own(name: str) -> None:
    panels = _page(name)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"]
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_pages_have_names_of_their_own_and_let_a_prometheus_be_chosen() -> None:
    pages = [_page(name) for name in NAMES]
    assert len({page["uid"] for page in pages}) == len({page["title"] for page in pages}) == len(NAMES)
    for page in pages:
        assert page["templating"]["list"][0]["type"] == "datasource"
        sources = {panel["datasource"]["uid"] for panel in page["panels"] if panel["type"] != "row"}
        assert sources == {"${datasource}"}


@pytest.mark.parametrize("name", NAMES)
def test_import_asks_for_a_prometheus_and_the_page_uses_it(name: str) -> None:
    page = _page(name)
    (asked,) = page["__inputs"]
    assert (asked["type"], asked["pluginId"]) == ("datasource", "prometheus")
    (source,) = [one for one in page["templating"]["list"] if one["name"] == "datasource"]
    assert source["current"]["value"] == f"${{{asked['name']}}}"
    assert {one["id"] for one in page["__requires"]} == {"grafana", "prometheus"}


def test_fleet_has_a_matrix_of_who_reaches_whom() -> None:
    reach = next(panel for panel in _page("fleet")["panels"] if panel["title"] == "Reachability")
    matrix = next(step for step in reach["transformations"] if step["id"] == "groupingToMatrix")
    assert matrix["options"] == {"columnField": "peer", "rowField": "node", "valueField": "Value"}
    assert reach["fieldConfig"]["defaults"]["custom"]["cellOptions"]["type"] == "color-background"


@pytest.mark.parametrize("name", NAMES)
def test_dashboards_ask_only_for_what_flanpyd_tells(name: str, tmp_path: Path) -> None:
    asked = set(re.findall(r"\b(?:flanpy|process)_\w+", "\n".join(expressions(name))))
    assert asked
    assert asked <= everything.families(tmp_path)


@pytest.mark.lab
@pytest.mark.parametrize("name", NAMES)
def test_prometheus_understands_every_query(name: str, tmp_path: Path) -> None:
    asked = [{"record": f"q{at}", "expr": one} for at, one in enumerate(expressions(name))]
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "queries", "rules": asked}]}))  # JSON is YAML
    assert f"{len(asked)} rules found" in promtool("check", "rules", str(rules))
