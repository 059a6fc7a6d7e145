"""The page of log lines: every event the code logs, with its level and keys, and what each key means."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from docs.generate import markdown
from docs.generate.source import modules, tree
from flanpy.log import KEYS, LEVELS

_LEAD = """\
Lines are JSON, or aligned text on a terminal (`--log-format`). Every line has `ts`, `level` and `event`; an event's name is stable.
An outage is two lines, however long it lasts: one when it begins, one when it ends. Secrets are masked.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One place in the code that logs."""

    event: str
    level: str
    keys: frozenset[str]
    part: str


def page() -> str:
    by_event: dict[str, list[Line]] = {}
    for line in lines():
        by_event.setdefault(line.event, []).append(line)
    rows = [
        (markdown.code(event), _joined(each.level for each in found), _joined(each.part for each in found),
         _joined(markdown.code(key) for each in found for key in each.keys))
        for event, found in sorted(by_event.items())
    ]  # fmt: skip
    keys = [(markdown.code(key), markdown.plain(meaning)) for key, meaning in KEYS.items()]
    return markdown.page(
        "Log lines",
        _LEAD.strip(),
        markdown.section("Events", markdown.table(("event", "level", "from", "keys"), rows)),
        markdown.section("Keys", markdown.table(("key", "meaning"), keys)),
    )


def _joined(texts: Iterator[str]) -> str:
    return ", ".join(sorted(set(texts)))


def lines() -> Iterator[Line]:
    """Every log line of the code."""
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and (line := _line(path, node)) is not None:
                yield line


def _line(path: str, call: ast.Call) -> Line | None:
    match call:
        case ast.Call(func=ast.Attribute(attr=level), args=[ast.Constant(value=str(event)), *_]) if (
            level in LEVELS and _is_event(event)
        ):
            keys = frozenset(each.arg for each in call.keywords if each.arg is not None and each.arg in KEYS)
            return Line(event, level, keys, path.split("/")[1].removesuffix(".py"))
    return None


def _is_event(text: str) -> bool:
    return text.isidentifier() and text.islower()
