"""Labs for injected problems, and what each view of a host says of one: doctor, status, metrics, alerts, events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.lab import Host, Lab, flanpyctl
from integration.lab.injections import Ground
from tests.lab.overlay import eventually

RULES = Path(__file__).parents[2] / "deploy/monitoring/flanpy.rules.yml"
SEEN_S = 30.0
"""How long a view may take, before it is late; nothing here measures speed."""


@contextmanager
def standing(ground: Ground) -> Iterator[Lab]:
    """A lab on that ground, with everything well."""
    with Lab(ground.hosts, ipv6=ground.ipv6) as lab:
        lab.configure(ground.config())
        lab.start_daemons(*ground.flags)
        lab.attach_containers()
        yield lab


def start_anew(host: Host, ground: Ground) -> None:
    """Forget what was repaired before: events are the daemon's memory."""
    host.daemon.restart(*ground.flags)


def doctor(host: Host) -> list[dict[str, Any]]:
    """Its findings, in order."""
    done = host.run(*flanpyctl(), "doctor", "-o", "json", check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


def ailments(host: Host) -> list[str]:
    """What doctor holds for trouble, notes left out."""
    return [
        f"{one['id']}: {one['title']}: {one['evidence']}" for one in doctor(host) if one["severity"] != "note"
    ]


def wait_well(host: Host) -> None:
    """Until doctor finds nothing wrong."""
    eventually(lambda: not ailments(host), lambda: ailments(host), deadline=SEEN_S)


def names(finding: dict[str, Any], words: tuple[str, ...]) -> bool:
    """Whether the finding says all of the words."""
    said = json.dumps(finding)
    return all(word in said for word in words)


def condition(host: Host, kind: str) -> dict[str, Any]:
    """As flanpyctl tells it."""
    said = json.loads(host.run(*flanpyctl(), "status", "-o", "json", check=False).stdout)
    return next(row for row in said["conditions"] if row["type"] == kind)


def expression(alert: str) -> str:
    """What the shipped rules say that the alert looks at."""
    found = re.search(rf"- alert: {alert}\n +expr: '(.+)'\n", RULES.read_text())
    assert found, f"no alert {alert} in {RULES.name}"
    return found[1]


def would_fire(host: Host, alert: str) -> bool:
    """Whether the host's metrics make a rule of the form `flanpy_condition_healthy{...} == 0` true."""
    found = re.fullmatch(r"(flanpy_condition_healthy\{condition=\"\w+\"\}) == 0", expression(alert))
    assert found, f"{alert} does not look at a condition"
    lines = [line for line in host.daemon.metrics().splitlines() if line.startswith(found[1])]
    assert lines, f"no {found[1]}"
    return float(lines[0].rpartition(" ")[2]) == 0


def repairs(host: Host) -> float:
    """How often flanpyd put something right, all objects and reasons together."""
    values = re.findall(r"(?m)^flanpy_repairs_total\{.*\} (\S+)$", host.daemon.metrics())
    return sum(map(float, values))
