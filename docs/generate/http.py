"""The page of what listens: health, metrics and status page on TCP, and the control socket, with example answers."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass

from docs.generate import documents, markdown
from docs.generate.source import constants, docstring, members, said, sample, tree

_LEAD = """\
Nothing here changes the overlay. Health and metrics listen where `--healthz-port` and `--metrics-listen` say, on both of them the
same is served; both are off by default. The status page listens at `--page-listen`. The control socket is `flanpyd.sock` in
`--run-dir` (`/run/flanpy`), for root and the daemon's group: `curl --unix-socket /run/flanpy/flanpyd.sock http://localhost/v1/status`.
"""
_CONTROL = """\
Answers are JSON. An error is `{"error": "..."}` with status 500, or 400 if the question was wrong. Fields are only ever added.
"""


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    meaning: str


def page() -> str:
    examples = json.loads(sample("answers.json"))
    control = list(_control())
    shown = [
        markdown.section(f"GET {path}", markdown.as_json(answer), level=3)
        for path, answer in examples.items()
    ]
    return markdown.page(
        "HTTP and the control socket",
        _LEAD.strip(),
        markdown.section("Health and metrics", _table(_served("flanpy/status/http/server.py", "health_app"))),
        markdown.section("Status page", _table(_served("flanpy/page/app.py", "page_app"))),
        markdown.section("Control socket", _CONTROL.strip(), _answers(control)),
        documents.section(),
        markdown.section("Examples", *shown),
    )


def _table(routes: Iterator[Route] | list[Route]) -> str:
    rows = [(markdown.code(f"{each.method} {each.path}"), each.meaning) for each in routes]
    return markdown.table(("request", "answer"), rows)


def _answers(routes: list[Route]) -> str:
    rows = [
        (markdown.code(f"{each.method} {each.path}"), each.meaning, documents.link(each.path))
        for each in routes
    ]
    return markdown.table(("request", "answer", "document"), rows)


def _control() -> Iterator[Route]:
    told = members("flanpy/status/http/server.py", "ControlRequests")
    for method, path, handler in _routes("flanpy/status/http/server.py", "control_app"):
        match handler:
            case ast.Call(args=[ast.Attribute(attr=name)]):
                yield Route(method, path, told[name])


def _served(path: str, function: str) -> Iterator[Route]:
    """Routes whose handler is a function with a docstring."""
    told = {
        node.name: docstring(node.body[0])
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for method, place, handler in _routes(path, function):
        match handler:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                if not told[name]:
                    raise SystemExit(f"{path}: {name} has no docstring: say what {place} answers")
                yield Route(method, place, told[name])


def _routes(path: str, function: str) -> Iterator[tuple[str, str, ast.expr]]:
    """Method, path and handler of each; a path may be a constant of the module."""
    body = next(n for n in tree(path).body if isinstance(n, ast.FunctionDef) and n.name == function)
    for node in ast.walk(body):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_get" | "add_post" as verb), args=[place, handler]):
                if text := said(place, constants(path)):
                    yield verb.removeprefix("add_").upper(), text, handler
