"""Putting a changed module in the place of the one that is loaded: its functions' code, or one of its constants."""

from __future__ import annotations

import ast
import functools
import gc
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any


class Unchangeable(Exception):
    """The changed code has no place in the running process."""


class Loaded:
    """The functions and the caches of ours in this process, as they are now: looking for them is slow."""

    def __init__(self) -> None:
        self._functions: dict[tuple[str, str], list[FunctionType]] = {}
        self._caches: list[Any] = []
        for found in gc.get_objects():
            if isinstance(found, FunctionType) and found.__module__ and found.__module__.startswith("flanpy"):
                key = found.__code__.co_filename, found.__code__.co_qualname
                self._functions.setdefault(key, []).append(found)
            elif isinstance(found, functools._lru_cache_wrapper):
                self._caches.append(found)

    def forget_results(self) -> None:
        """Empty the caches: a remembered result would hide a change."""
        for found in self._caches:
            found.cache_clear()

    def put(self, module: ModuleType, tree: ast.Module, place: str, statement: ast.stmt) -> None:
        """Replace function `place` of `module` by that of `tree`; without a place, a constant. Raises Unchangeable."""
        ast.fix_missing_locations(tree)
        path = module.__file__
        assert path is not None
        if not place:
            _put_constant(module, statement)
            return
        wanted = {
            (code.co_qualname, code.co_firstlineno): code for code in _codes(compile(tree, path, "exec"))
        }
        found = self._functions.get((path, place), [])
        if not found:
            raise Unchangeable(f"no function {place}")
        for function in found:
            try:
                function.__code__ = wanted[place, function.__code__.co_firstlineno]
            except (KeyError, ValueError) as error:
                raise Unchangeable(str(error)) from error


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _put_constant(module: ModuleType, statement: ast.stmt) -> None:
    assert isinstance(statement, ast.Assign | ast.AnnAssign)
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    if not isinstance(target, ast.Name) or statement.value is None:
        raise Unchangeable("no plain name")
    old = vars(module).get(target.id)
    new = eval(compile(ast.Expression(statement.value), "<constant>", "eval"), vars(module))
    for other in list(sys.modules.values()):
        names = getattr(other, "__dict__", {})
        if target.id in names and names[target.id] is old:
            names[target.id] = new
