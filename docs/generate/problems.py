"""The pages of the known problems: one each, with the findings, conditions and alerts that tell of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from docs.generate import markdown
from docs.generate.alerts import alerts_of
from docs.generate.source import CODE, ROOT, modules, tree
from flanpy.doctor.checks.reach import problems
from flanpy.model.problem import OF_CONDITION, OF_TROUBLE, PROBLEMS, Known

_LEAD = """\
What is known to go wrong with overlays like this one. Each problem has one id, forever: `flanpyctl doctor`, conditions and the
status page name it, and lead to its page here.
"""


def index() -> str:
    """Return the page that lists them."""
    rows = [(f"[{one.id}]({one.id}.md)", one.meaning, one.shows) for one in PROBLEMS.values()]
    names = "\n".join(PROBLEMS)
    return markdown.page(
        "Problems",
        _LEAD.strip(),
        markdown.table(("", "problem", "how it shows"), rows),
        f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{names}\n```",
    )


def pages() -> dict[str, str]:
    """Return a page for each problem, by file name."""
    titles = _titles()
    return {f"{one.id}.md": _page(one, sorted(titles.get(one.id, ()))) for one in PROBLEMS.values()}


def _page(known: Known, titles: list[str]) -> str:
    facts = "\n".join(f"- {line}" for line in _facts(known))
    found = "\n".join(f"- {title}" for title in titles)
    return markdown.page(
        f"{known.id}: {known.meaning}",
        known.shows,
        markdown.section("What to do", known.cure),
        *([markdown.section("What doctor says", found)] if found else []),
        markdown.section("Where else it is told", facts),
    )


def _facts(known: Known) -> Iterator[str]:
    kinds = [kind for kind, name in OF_CONDITION.items() if name == known.id]
    named = ", ".join(f"[{kind.value}](conditions.md#{kind.value.lower()})" for kind in kinds)
    yield f"condition: {named or 'none of its own'}"
    alerts = [alert for kind in kinds for alert in alerts_of(kind)]
    linked = ", ".join(f"[{alert}](alerts.md#{alert.lower()})" for alert in alerts)
    yield f"alert: {linked or 'none of its own'}"
    troubles = [trouble.value for trouble, name in OF_TROUBLE.items() if name == known.id and trouble.value]
    if troubles:
        yield f"trouble of a peer: {', '.join(map(markdown.code, troubles))}"
    if known.id in _injected():
        yield f"to see it in a lab: `python -m integration inject {known.id}`"


@cache
def _injected() -> frozenset[str]:
    """Return the problems that the lab's catalogue can bring about, as its source says."""
    found = (
        node.value.value
        for path in modules(ROOT / "integration/faults")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.keyword) and node.arg == "problem" and isinstance(node.value, ast.Constant)
    )
    return frozenset(str(one) for one in found)


def _titles() -> dict[str, set[str]]:
    """Return the titles that doctor's checks give to findings, by problem."""
    found: dict[str, set[str]] = {}
    for path in modules(CODE / "doctor/checks"):
        for call in ast.walk(tree(path)):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Problem":
                match call.args:
                    case [ast.Constant(value=str(id_)), ast.Constant(value=str(title))]:
                        found.setdefault(id_, set()).add(title)
    for problem in problems():
        found.setdefault(problem.id, set()).add(problem.title)
    return found
