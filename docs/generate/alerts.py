"""The page of alerts: those that are shipped for Prometheus, with their runbooks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import yaml

from docs.generate import markdown
from docs.generate.source import ROOT
from flanpy.model.condition import ConditionType

RULES = ROOT / "deploy/monitoring/flanpy.rules.yml"
_LEAD = """\
Rules for Prometheus are in `deploy/monitoring/flanpy.rules.yml`. Each alert has a runbook, which is the text under it here: what
it means, what it does, where to look and what to do.
"""


@dataclass(frozen=True, slots=True)
class Alert:
    name: str
    expression: str
    waits: str
    severity: str
    summary: str


@cache
def alerts() -> tuple[Alert, ...]:
    """As the rules have them."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return tuple(
        Alert(
            rule["alert"],
            " ".join(rule["expr"].split()),
            str(rule.get("for", "0s")),
            rule["labels"]["severity"],
            rule["annotations"]["summary"],
        )
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    )


def alerts_of(kind: ConditionType) -> list[str]:
    """Alerts that ask for a condition."""
    return [each.name for each in alerts() if f'condition="{kind.value}"' in each.expression]


def page() -> str:
    rows = [(f"[{each.name}](#{each.name.lower()})", each.severity, each.waits, markdown.plain(each.summary))
            for each in alerts()]  # fmt: skip
    return markdown.page(
        "Alerts",
        _LEAD.strip(),
        markdown.table(("alert", "severity", "after", "says"), rows),
        *map(_entry, alerts()),
    )


def _entry(alert: Alert) -> str:
    asks = markdown.block(f"{alert.expression}\nfor {alert.waits}, severity {alert.severity}", "text")
    return markdown.section(alert.name, _runbook(alert.name), "### The rule", asks)


def _runbook(name: str) -> str:
    """The runbook's text below its title, its headings one step down, its links to other runbooks kept on this page."""
    text = (RULES.parent / "runbooks" / f"{name}.md").read_text().partition("\n")[2].strip()
    text = text.replace("\n## ", "\n### ")
    for other in alerts():
        text = text.replace(f"]({other.name}.md)", f"](#{other.name.lower()})")
    return text
