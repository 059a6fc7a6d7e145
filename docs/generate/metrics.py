"""The page of metrics: every family that flanpyd tells, read off a page on which each has a sample."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from docs.generate import markdown
from docs.generate.source import sample

_LEAD = """\
`/metrics` is served where `--metrics-listen` says, and at the health port. Each host tells of itself; names begin with `flanpy_`.
Among more than 64 peers only those in trouble have series of their own. `process_...` are those of every Prometheus client.
"""
_NUMBERED = re.compile(r"_(bucket|sum|count|created)$")


@dataclass(slots=True)
class Family:
    """One metric."""

    name: str
    kind: str = ""
    text: str = ""
    labels: list[str] = field(default_factory=list)
    sampled: bool = False


def page() -> str:
    rows = [
        (
            markdown.code(each.name),
            each.kind,
            ", ".join(map(markdown.code, each.labels)),
            markdown.plain(each.text),
        )
        for each in families()
    ]
    return markdown.page(
        "Metrics", _LEAD.strip(), markdown.table(("name", "type", "labels", "meaning"), rows)
    )


def families() -> list[Family]:
    """All families, by name."""
    found: dict[str, Family] = {}
    for line in sample("metrics.prom").splitlines():
        _read(line, found)
    for family in found.values():
        if not family.sampled:
            raise SystemExit(
                f"{family.name} has no sample, so its labels are unknown: add one in tests/monitoring"
            )
        if not family.text:
            raise SystemExit(
                f"{family.name} has no help text: add it where it is made, in flanpy/status/metrics_*.py"
            )
    return sorted(found.values(), key=lambda family: family.name)


def _read(line: str, found: dict[str, Family]) -> None:
    match line.split(maxsplit=3):
        case ["#", "HELP", name, text]:
            found.setdefault(name, Family(name)).text = text
        case ["#", "TYPE", name, kind]:
            found.setdefault(name, Family(name)).kind = kind
        case [sample, *_] if not line.startswith("#"):
            _read_labels(sample, found)


def _read_labels(sample: str, found: dict[str, Family]) -> None:
    name = sample.partition("{")[0]
    family = found.get(name) or found.get(_NUMBERED.sub("", name))
    if family is None:
        return
    family.sampled = True
    for label in _labels(sample):
        if label not in family.labels and label != "le":
            family.labels.append(label)


def _labels(sample: str) -> Iterator[str]:
    yield from re.findall(r"[{,](\w+)=\"", sample)
