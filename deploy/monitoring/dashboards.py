#!/usr/bin/env python3
"""Writes the Grafana dashboards: `python3 deploy/monitoring/dashboards.py [DIRECTORY]`, `dashboards` beside this file
if none is named.

The JSON is what is imported into Grafana (10.1 or newer), with a Prometheus to be chosen there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana.fleet import fleet
from grafana.leases import leases
from grafana.node import node

PAGES = {"fleet.json": fleet, "node.json": node, "leases.json": leases}


def main(arguments: list[str]) -> None:
    directory = Path(arguments[0]) if arguments else Path(__file__).parent / "dashboards"
    for name, page in PAGES.items():
        (directory / name).write_text(json.dumps(page(), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
