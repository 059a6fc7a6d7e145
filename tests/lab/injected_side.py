"""Labs for injected problems, and what each view of a host says of one: doctor, status, metrics, alerts, events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flanpy.cli.base.control import Control
from flanpy.config import describe, load
from flanpy.doctor.gather import Sources, gather
from flanpy.doctor.registry import diagnose
from integration.faults.fault import Setting
from integration.lab import Host, Lab, flanpyctl
from integration.net.namespaces import in_namespace
from tests.lab.overlay import eventually

RULES = Path(__file__).parents[2] / "deploy/monitoring/flanpy.rules.yml"
SEEN_S = 30.0
"""How long a view may take, before it is late; nothing here measures speed."""


@contextmanager
def standing(setting: Setting) -> Iterator[Lab]:
    """A lab of that setting, with everything well."""
    with Lab(setting.hosts, ipv6=setting.ipv6) as lab:
        lab.configure(setting.config())
        lab.start_daemons(*setting.flags)
        lab.attach_containers()
        yield lab


class Fresh:
    """Hosts whose daemons remember no repairs, for events are their memory: those that were used start again beside."""

    def __init__(self, lab: Lab, setting: Setting) -> None:
        self._lab = lab
        self._setting = setting
        self._next = 0
        for host in lab.hosts:
            self._begin(host)

    def _begin(self, host: Host) -> None:
        host.daemon.kill()
        (host.daemon.state_dir / "events.json").unlink(missing_ok=True)
        host.daemon.launch(*self._setting.flags)

    @contextmanager
    def one(self) -> Iterator[Host]:
        """The next such host."""
        host = self._lab.hosts[self._next]
        self._next = (self._next + 1) % len(self._lab.hosts)
        host.daemon.wait_ready()
        try:
            yield host
        finally:
            self._begin(host)


def doctor(host: Host) -> list[dict[str, Any]]:
    """The command's findings, in order."""
    done = host.run(*flanpyctl(), "doctor", "-o", "json", check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


def look(host: Host) -> list[dict[str, Any]]:
    """Return the same findings without a new interpreter, at a third of the cost: for what is asked again and again."""
    told = {one.name: one.value for one in describe(load(host.daemon.flags, host.daemon.environment))}

    def diagnosed() -> list[dict[str, Any]]:
        facts = gather(Sources(ask=Control(host.daemon.run_dir).get, settings=told))
        return [finding.as_json() for finding in diagnose(facts)]

    return in_namespace(host.namespace, diagnosed)


def ailments(host: Host) -> list[str]:
    """Return the findings that doctor holds for trouble, notes left out."""
    return [
        f"{one['id']}: {one['title']}: {one['evidence']}" for one in look(host) if one["severity"] != "note"
    ]


def wait_well(host: Host) -> None:
    """Wait until doctor finds nothing wrong."""
    eventually(lambda: not ailments(host), lambda: ailments(host), deadline=SEEN_S)


def names(finding: dict[str, Any], words: tuple[str, ...]) -> bool:
    """Report whether the finding says all of the words."""
    said = json.dumps(finding)
    return all(word in said for word in words)


def condition(host: Host, kind: str) -> dict[str, Any]:
    """Return the condition as the daemon reports it."""
    said = Control(host.daemon.run_dir).get("status")
    return next(row for row in said["conditions"] if row["type"] == kind)


def expression(alert: str) -> str:
    """Return the expression of the alert in the shipped rules."""
    found = re.search(rf"- alert: {alert}\n +expr: '(.+)'\n", RULES.read_text())
    assert found, f"no alert {alert} in {RULES.name}"
    return found[1]


def would_fire(host: Host, alert: str) -> bool:
    """Report whether the host's metrics make a rule of the form `flanpy_condition_healthy{...} == 0` true."""
    found = re.fullmatch(r"(flanpy_condition_healthy\{condition=\"\w+\"\}) == 0", expression(alert))
    assert found, f"{alert} does not look at a condition"
    lines = [line for line in host.daemon.metrics().splitlines() if line.startswith(found[1])]
    assert lines, f"no {found[1]}"
    return float(lines[0].rpartition(" ")[2]) == 0


def repairs(host: Host) -> float:
    """Return the number of flanpyd's repairs, all objects and reasons together."""
    values = re.findall(r"(?m)^flanpy_repairs_total\{.*\} (\S+)$", host.daemon.metrics())
    return sum(map(float, values))
