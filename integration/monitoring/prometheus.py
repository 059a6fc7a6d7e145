"""Owns a Prometheus that runs in a namespace of the lab: its configuration, its start, and what it can be asked.

It must not know flanpy's own modules. The program is Debian's; it keeps its data in the lab's directory and listens on
loopback of its namespace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from integration.etcd.api import fetch
from integration.hosts.daemon import METRICS_PORT, PROJECT_ROOT
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.net.child import Child
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

RULES = PROJECT_ROOT / "deploy/monitoring/flanpy.rules.yml"

PORT = 9090
_TIMEOUT_S = 10.0
_START_S = 20.0


def scrape_config(targets: Iterable[str], *, rules: Path) -> str:
    """Return the shipped scrape config, with an interval of a second."""
    listed = ", ".join(f"'{target}'" for target in targets)
    return f"""\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ['{rules}']
scrape_configs:
  - job_name: flanpy
    static_configs: [{{targets: [{listed}]}}]
"""


def impatient(rules: str) -> str:
    """The rules with all waits cut to a second."""
    return re.sub(r"(?m)^( +for: ).*$", r"\g<1>1s", rules)


class Prometheus:
    """Scrapes every host of a lab from where its etcd is. A context manager; the lab's end stops it as well."""

    def __init__(self, lab: Lab) -> None:
        self._namespace = lab.plan.etcd[0].namespace
        self._directory = lab.directory / "prometheus"
        self._targets = [self.target(host) for host in lab.hosts]
        self._directory.mkdir(exist_ok=True)
        self._child = Child("prometheus", self._namespace, log=self._directory / "prometheus.log")

    @staticmethod
    def target(host: Host) -> str:
        """Return the address at which the host's daemon must serve metrics (FLANPYD_METRICS_LISTEN); also the
        label `instance`."""
        return f"{host.address}:{METRICS_PORT}"

    def __enter__(self) -> Self:
        rules, config = self._directory / "rules.yml", self._directory / "prometheus.yml"
        rules.write_text(impatient(RULES.read_text()))
        config.write_text(scrape_config(self._targets, rules=rules))
        self._child.start([
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{PORT}", "--log.level=warn",
        ])  # fmt: skip
        wait_until(self._is_up, "Prometheus ready", deadline=_START_S, poll=0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()

    def _is_up(self) -> bool:
        if not self._child.running:
            raise LabError(f"Prometheus ended: {self._child.log_tail()}")
        try:
            return fetch(self._namespace, ("127.0.0.1", PORT), "/-/ready")[0] == 200
        except OSError:
            return False

    def ask(self, path: str) -> Any:
        """The data of an answer of its API."""
        address = ("127.0.0.1", PORT)
        status, body = fetch(self._namespace, address, f"/api/v1/{path}", timeout=_TIMEOUT_S)
        if status != 200:
            raise LabError(f"Prometheus says {status} to {path}: {body}")
        return json.loads(body)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """An instant query: labels and value of each series."""
        found = self.ask(f"query?query={quote(expression)}")["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def targets_up(self) -> set[str]:
        """The instances whose last scrape went well."""
        active = self.ask("targets?state=active")["activeTargets"]
        return {each["labels"]["instance"] for each in active if each["health"] == "up"}

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire: name and instance."""
        alerts = self.ask("alerts")["alerts"]
        return {
            (each["labels"]["alertname"], each["labels"].get("instance", ""))
            for each in alerts
            if each["state"] == "firing"
        }

    def description(self, alert: str, instance: str) -> str:
        """Return the description of a firing alert."""
        return next(
            str(each["annotations"]["description"])
            for each in self.ask("alerts")["alerts"]
            if (each["labels"]["alertname"], each["labels"].get("instance")) == (alert, instance)
        )
