"""Metrics have one port in everything that an operator copies from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from integration.hosts.daemon import METRICS_PORT, PROJECT_ROOT

_LISTEN = re.compile(r"metrics[-_]listen[=: '\"]+[\w.\[\]:]*:(\d+)", re.IGNORECASE)
PLACES = ("docs", "deploy", "README.md")


def _texts() -> list[Path]:
    found = [path for place in PLACES for path in (PROJECT_ROOT / place).rglob("*") if path.is_file()]
    return [
        path
        for path in (*found, PROJECT_ROOT / "README.md")
        if path.suffix in {".md", ".yml", ".default", ".json", ".sh"}
    ]


def test_every_page_and_file_names_the_same_metrics_port() -> None:
    named = {
        (str(path.relative_to(PROJECT_ROOT)), int(port))
        for path in _texts()
        for port in _LISTEN.findall(path.read_text())
    }
    assert "docs/howto/monitoring.md" in {path for path, _ in named}
    assert {port for _, port in named} == {METRICS_PORT}, named


def test_prometheus_scrapes_that_port() -> None:
    settings = yaml.safe_load((PROJECT_ROOT / "deploy/monitoring/prometheus.yml").read_text())
    targets = [
        one
        for job in settings["scrape_configs"]
        for given in job["static_configs"]
        for one in given["targets"]
    ]
    assert targets
    assert {int(one.rpartition(":")[2]) for one in targets} == {METRICS_PORT}


@pytest.mark.parametrize("name", ["fleet", "node", "leases"])
def test_dashboard_asks_for_its_prometheus_when_it_is_imported(name: str) -> None:
    page = yaml.safe_load((PROJECT_ROOT / f"deploy/monitoring/dashboards/{name}.json").read_text())
    assert [one["type"] for one in page["__inputs"]] == ["datasource"]
    asked = page["__inputs"][0]["name"]
    assert f"${{{asked}}}" in (PROJECT_ROOT / f"deploy/monitoring/dashboards/{name}.json").read_text()
