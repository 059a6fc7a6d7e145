#!/usr/bin/env python3
"""Writes the Grafana dashboards: `python3 deploy/monitoring/dashboards.py [DIRECTORY]`, `dashboards` beside this file
if none is named. With `--runbooks URL` it writes the alerts, too, with links to runbooks of your own: `{alert}` in the
URL stands for the alert's name.

The JSON is what is imported into Grafana (10.1 or newer), with a Prometheus to be chosen there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from grafana.fleet import fleet
from grafana.leases import leases
from grafana.node import node

RULES = "flanpy.rules.yml"
PAGES = {"fleet.json": fleet, "node.json": node, "leases.json": leases}


HERE = Path(__file__).parent


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description="Write flanpy's dashboards for Grafana and its alerts for Prometheus."
    )
    parser.add_argument("directory", nargs="?", type=Path, default=HERE / "dashboards")
    parser.add_argument(
        "--runbooks", metavar="URL", help="write the alerts, too; {alert} stands for the alert's name"
    )
    options = parser.parse_args(arguments)
    if options.runbooks is not None and "{alert}" not in options.runbooks:
        parser.error(
            f"--runbooks {options.runbooks}: no {{alert}} in it, so that every alert would lead to one page"
        )
    options.directory.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (options.directory / name).write_text(json.dumps(page(), indent=1) + "\n")
    if options.runbooks is not None:
        (options.directory / RULES).write_text(rules(options.runbooks))


def rules(runbooks: str) -> str:
    """Return the alerts with links by the pattern."""
    text = (HERE / RULES).read_text()
    return re.sub(
        r"(- alert: (\w+)\n(?:(?! +- alert:).*\n)*? +runbook_url: )\S+",
        lambda found: found[1] + json.dumps(runbooks.replace("{alert}", found[2])),
        text,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
