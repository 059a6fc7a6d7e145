"""Facts that only the source text holds: docstrings of enum members and fields, log lines, and the texts of judgements.

Owns the reading of syntax trees. Nothing here is imported or run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "flanpy"
_UNKNOWN = "…"


def sample(name: str) -> str:
    """Return the text of a file of docs/generate/samples, which the tests record."""
    return (ROOT / "docs/generate/samples" / name).read_text()


@cache
def tree(path: str) -> ast.Module:
    """A module by its path below the project."""
    return ast.parse((ROOT / path).read_text())


def modules(under: Path = CODE) -> Iterator[str]:
    """Paths of all modules, in order."""
    for path in sorted(under.rglob("*.py")):
        if not path.name.endswith(("_pb2.py", "_pb2_grpc.py")):
            yield path.relative_to(ROOT).as_posix()


def members(path: str, name: str) -> dict[str, str]:
    """Members (or fields) of a class, with the docstring that stands below each; a class without one fails."""
    found = next(n for n in tree(path).body if isinstance(n, ast.ClassDef) and n.name == name)
    told: dict[str, str] = {}
    for statement, following in zip(found.body, [*found.body[1:], None], strict=True):
        target = _target(statement)
        if target:
            told[target] = docstring(following)
            if not told[target]:
                raise SystemExit(f"{path}: {name}.{target} has no docstring below it: say what it means")
    return told


def _target(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def docstring(statement: ast.stmt | None) -> str:
    """The text, if the statement is one."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
    return ""


def constants(path: str) -> Mapping[str, ast.expr]:
    """Return the values assigned to names at the top of a module."""
    return {
        name: statement.value
        for statement in tree(path).body
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
        if (name := _target(statement))
    }


def said(node: ast.expr | None, names: Mapping[str, ast.expr]) -> str:
    """A text as the code would make it, with an ellipsis where a value goes; '' if only running it could tell."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_part(part, names) for part in parts)
        case ast.Name(id=name) if name in names:
            return said(names[name], names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (said(left, names) or _UNKNOWN) + (said(right, names) or _UNKNOWN)
        case ast.BoolOp(values=values):
            return next((text for each in reversed(values) if (text := said(each, names))), "")
        case ast.IfExp(body=body, orelse=other):
            return said(body, names) or said(other, names)
    return ""


def _part(part: ast.expr, names: Mapping[str, ast.expr]) -> str:
    if isinstance(part, ast.FormattedValue):
        return said(part.value, names) or _UNKNOWN
    return said(part, names)
