"""The changes that are made to a module, one at a time, in its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NO_CODE = ("annotation", "returns", "decorator_list", "type_comment", "ctx")
_CALLS = {"any": "all", "all": "any", "min": "max", "max": "min"}
_DROPPED = (ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)
_SILENT = frozenset({"debug", "info", "warning", "error"})
"""Methods of a logger: no test has to notice that a line of the log is gone."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one node, and what it becomes. `place` is the qualified name of the outermost function."""

    node: ast.AST
    name: str
    index: int | None
    value: Any
    lines: range
    statement: ast.stmt
    place: str

    def text(self) -> str:
        """Return the change as text: its function, and the statement's head before and after."""
        before = getattr(self.node, self.name)
        kept = before if self.index is None else [*before]
        text = self.make()
        setattr(self.node, self.name, kept)
        return text

    def make(self) -> str:
        """Change the tree, for good; return what `text` does."""
        before = _head(self.statement)
        if self.index is None:
            setattr(self.node, self.name, self.value)
        else:
            getattr(self.node, self.name)[self.index] = self.value
            setattr(self.node, self.name, [one for one in getattr(self.node, self.name) if one is not None])
        after = _head(self.value if isinstance(self.value, ast.stmt) else self.statement)
        return f"{self.place or 'constant'}: {before}  =>  {after}"


def _head(statement: ast.stmt) -> str:
    text = ast.unparse(statement)
    return text.splitlines()[0] if hasattr(statement, "body") else " ".join(text.split())


def changes(tree: ast.Module) -> Iterator[Change]:
    """Find all changes of the functions, and of the constants, of a module."""
    for statement in tree.body:
        yield from _of_statement(statement, "")


def _of_statement(statement: ast.stmt, place: str) -> Iterator[Change]:
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _of_statement(inner, f"{place}{statement.name}.")
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        finder = _Finder(place + statement.name)
        for index, inner in enumerate(statement.body):
            yield from finder.dropped(statement, "body", index, inner)
            yield from finder.within(inner)
    elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None and not place:
        finder = _Finder("")
        finder.statement = statement
        yield from finder.expression(statement, "value", None, statement.value)


class _Finder:
    """The changes of one function's body."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.statement: ast.stmt

    def within(self, node: ast.AST) -> Iterator[Change]:
        """Find the changes of a node and of all below it."""
        if isinstance(node, ast.Assert) or _is_docstring(node) or _is_logged(node):
            return
        if isinstance(node, ast.keyword) and _is_check(node):
            return
        outer = getattr(self, "statement", None)
        if isinstance(node, ast.stmt):
            self.statement = node
            yield from self._of_statement(node)
        yield from self._below(node)
        if isinstance(outer, ast.stmt):
            self.statement = outer

    def _below(self, node: ast.AST) -> Iterator[Change]:
        for name, value in ast.iter_fields(node):
            if name in _NO_CODE:
                continue
            for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
                if isinstance(child, ast.stmt) and isinstance(
                    node, ast.stmt | ast.ExceptHandler | ast.match_case
                ):
                    yield from self.dropped(node, name, index, child)
                if isinstance(child, ast.expr):
                    yield from self.expression(node, name, index, child)
                elif isinstance(child, ast.AST):
                    yield from self.within(child)
                if isinstance(node, ast.stmt):
                    self.statement = node

    def _change(self, node: ast.AST, name: str, index: int | None, value: Any, at: ast.AST) -> Change:
        first = getattr(at, "lineno", self.statement.lineno)
        last = getattr(at, "end_lineno", first)
        return Change(node, name, index, value, range(first, last + 1), self.statement, self.place)

    def dropped(self, node: ast.AST, name: str, index: int | None, child: ast.stmt) -> Iterator[Change]:
        """Leave a statement out, if it only acts."""
        if _is_docstring(child) or _is_logged(child):
            return
        stored = isinstance(child, ast.Assign) and not isinstance(child.targets[0], ast.Name)
        if isinstance(child, _DROPPED) or stored:
            self.statement = child
            yield self._change(node, name, index, ast.copy_location(ast.Pass(), child), child)

    def _of_statement(self, node: ast.stmt) -> Iterator[Change]:
        if isinstance(node, ast.If | ast.While) and not isinstance(node.test, ast.Constant):
            for constant in (True, False):
                yield self._change(
                    node, "test", None, ast.copy_location(ast.Constant(constant), node.test), node.test
                )
        if isinstance(node, ast.Return) and node.value is not None and not _says_no(node.value):
            yield self._change(node, "value", None, ast.copy_location(ast.Constant(None), node.value), node)
        if isinstance(node, ast.Match):
            for case in node.cases:
                if case.guard is not None:
                    yield self._change(case, "guard", None, None, case.guard)

    def expression(self, node: ast.AST, name: str, index: int | None, child: ast.expr) -> Iterator[Change]:
        """Find the changes of an expression, then those within it."""
        for value in _instead(child):
            yield self._change(node, name, index, ast.copy_location(value, child), child)
        for owner, field, at, value, place in _parts(child):
            yield self._change(owner, field, at, value, place)
        if not isinstance(child, ast.JoinedStr):  # a text for people
            yield from self.within(child)


def _parts(child: ast.expr) -> Iterator[tuple[ast.AST, str, int, Any, ast.AST]]:
    """Find what changes within an expression and leaves it: a node, its field, the index in it, and the new value."""
    match child:
        case ast.Compare(ops=operators):
            for at, operator in enumerate(operators):
                for other in _COMPARISONS[type(operator)]:
                    yield child, "ops", at, other(), child
        case ast.Call(keywords=keywords):
            for at, keyword in enumerate(keywords):
                if keyword.arg is not None and not _is_check(keyword):
                    yield child, "keywords", at, None, keyword
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            for generator in child.generators:
                for at, condition in enumerate(generator.ifs):
                    yield generator, "ifs", at, None, condition
        case _:
            return


def _instead(child: ast.expr) -> Iterator[ast.expr]:
    match child:
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
            for at in range(len(values)):
                rest = [*values[:at], *values[at + 1 :]]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(operator, rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            yield ast.BinOp(left, _OPERATORS[type(operator)](), right)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as number):
            yield ast.Constant(number + 1)
            if number > 1:
                yield ast.Constant(number - 1)
        case ast.Call(func=ast.Name(id=called), args=args, keywords=keywords) if called in _CALLS:
            yield ast.Call(ast.Name(_CALLS[called], ast.Load()), args, keywords)


def _says_no(node: ast.expr) -> bool:
    """Report whether this is None or False, which say the same to whoever asks."""
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


def _is_check(keyword: ast.keyword) -> bool:
    """Report whether this is zip's `strict`, which is an assertion."""
    return keyword.arg == "strict"


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_logged(node: ast.AST) -> bool:
    """Report whether this is a line of the log, or one that is never reached."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    match node.value.func:
        case ast.Attribute(attr=name):
            return name in _SILENT
        case ast.Name(id=name):
            return name == "assert_never"
    return False
