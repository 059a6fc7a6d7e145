"""Every reader of JSON or TOML meets 1,000 brackets and numbers without end: no caller learns of them by chance."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house import ROOT

_LOADS = frozenset({"json.loads", "json.load", "tomllib.loads", "tomllib.load"})
_WHOLE = ("RecursionError", "MALFORMED", "UNUSABLE", "_FAILURES")

_RAISING = {
    "flanpy/cli/config/network.py": "what flanpyctl rendered itself",
    "flanpy/cli/networks/copies.py": "slices that were read as leases before",
    "flanpy/cluster/talk.py": "`ask_any` catches MALFORMED",
    "flanpy/docker/api.py": "`look` catches NOT_DOCKER",
    "flanpy/host/extension.py": "`parse` raises one of UNUSABLE, as its callers know",
    "flanpy/store/listed/document.py": "`write_list` loads what was parsed as a network config before",
    "flanpy/storeserver/rivals.py": "`_ask` suppresses MALFORMED",
    "flanpy/trace/nft_json.py": "`read_ruleset` catches MALFORMED",
    "flanpy/trace/transit.py": "a child of flanpyd, which reads what flanpyd wrote and may end with an error",
}
"""Modules in which a load stands outside of any try, and why."""


def _loads(node: ast.AST, caught: str | None = None) -> Iterator[tuple[int, str | None]]:
    """Yield the line of each load, and the errors that are caught around it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        caught = None
    if isinstance(node, ast.Call) and ast.unparse(node.func) in _LOADS:
        yield node.lineno, caught
    for field, value in ast.iter_fields(node):
        within = caught
        if isinstance(node, ast.Try) and field == "body":
            named = " ".join(ast.unparse(one.type) for one in node.handlers if one.type is not None)
            within = f"{caught or ''} {named}"
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _loads(child, within)


def _found(path: Path) -> Iterator[tuple[int, str | None]]:
    yield from _loads(ast.parse(path.read_text()))


def test_whoever_loads_a_document_catches_every_error_that_loading_has() -> None:
    paths = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "flanpy").rglob("*.py"))}
    half = [
        f"{name}:{line} catches {caught or 'nothing'}"
        for name, path in paths.items()
        for line, caught in _found(path)
        if not (any(word in caught for word in _WHOLE) if caught else name in _RAISING)
    ]
    assert half == []
    bare = {name for name, path in paths.items() if any(caught is None for _, caught in _found(path))}
    assert bare == set(_RAISING)
