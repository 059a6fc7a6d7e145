"""Measurements of the source tree: `python -m tests.house`.

Sizes of files and functions, docstrings, parameters, modules a directory, and import circles, by tree. The same
measurements hold the house's limits in `tests/test_house.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
TREES: Final = ("flanpy", "integration", "tests", "bench", "docs")
RELATIVE: Final = frozenset(
    [
        "what",
        "who",
        "whom",
        "whose",
        "whether",
        "how",
        "that",
        "whatever",
        "whoever",
        "where",
        "which",
        "when",
    ]
)
"""First words of docstrings that describe a thing by a clause instead of naming it."""

_GENERATED: Final = "etcdpb"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_BOOKISH: Final = re.compile(
    r"\b(anew|for ever|of late|shall|whither|whoever|(?<!reaches )whom)\b", re.IGNORECASE
)
_PRIVATE = {
    "ground",
    "snag",
    "snags",
    "road",
    "roads",
    "knock",
    "knocks",
    "chase",
    "chased",
    "twin",
    "stranger",
}
"""Words that had a meaning in this project alone, and now have others: planner, fault, layer, probe, clone."""


@dataclass(slots=True)
class House:
    """The measurements of one tree; lists have an entry per file or function."""

    files: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    functions_documented: int = 0
    docstrings: int = 0
    relative: list[str] = field(default_factory=list)
    modules: dict[Path, int] = field(default_factory=dict)

    def row(self) -> str:
        """One line of a table."""
        share = 100 * len(self.relative) / max(1, self.docstrings)
        documented = 100 * self.functions_documented / max(1, len(self.functions))
        folders = self.modules.values()
        return (
            f"{len(self.files)} files, {sum(self.files)} lines; file {_spread(self.files)}; function "
            f"{_spread(self.functions)}; documented {documented:.0f} %; parameters at most {max(self.parameters)}; "
            f"modules a directory {median(folders):g} / {max(folders)}; relative docstrings {share:.1f} %"
        )


def measure(tree: str) -> House:
    """Measure every module of one tree."""
    house = House()
    for path in modules(tree):
        text = path.read_text()
        house.files.append(text.count("\n"))
        house.modules[path.parent] = house.modules.get(path.parent, 0) + 1
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, _Function):
                _note_function(house, node)
            if isinstance(node, (_Function, ast.ClassDef, ast.Module)) and (said := ast.get_docstring(node)):
                house.docstrings += 1
                if said.split()[0].strip(",.:`'").lower() in RELATIVE:
                    house.relative.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}")
    return house


def private_names(tree: str) -> Iterator[str]:
    """Yield the definitions whose names have a word that only this project understood."""
    for path in modules(tree):
        for node in ast.walk(ast.parse(path.read_text())):
            words = {word.lower() for word in _WORD.findall(_defined(node))}
            if words & _PRIVATE:
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {_defined(node)}"


def bookish(tree: str) -> Iterator[str]:
    """Yield the lines of modules and pages with a word that plain technical English does without."""
    for path in (*modules(tree), *sorted((ROOT / tree).rglob("*.md"))):
        for number, line in enumerate(path.read_text().split("\n"), 1):
            if _BOOKISH.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def _defined(node: ast.AST) -> str:
    """Return the name that a node gives to something, "" if it gives none."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case (
            ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store())
        ):
            return name
        case _:
            return ""


def modules(tree: str) -> Iterator[Path]:
    """Yield the modules written by hand."""
    return (path for path in sorted((ROOT / tree).rglob("*.py")) if _GENERATED not in path.parts)


def circle(tree: str) -> list[str]:
    """Return the modules of one import circle, those for type checkers included; [] where there is none."""
    paths = {_name(path): path for path in modules(tree)}
    graph = {name: set(_imports(path, paths.keys())) - {name} for name, path in paths.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def _note_function(house: House, node: _Function) -> None:
    given = node.args
    house.functions.append((node.end_lineno or node.lineno) - node.lineno + 1)
    house.parameters.append(len([*given.posonlyargs, *given.args, *given.kwonlyargs]))
    house.functions_documented += ast.get_docstring(node) is not None


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, known: Collection[str]) -> Iterator[str]:
    """Yield the known modules that a module names; a package counts only where a name of its own is taken."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in known)
        if isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                inside = f"{node.module}.{one.name}"
                if inside in known or node.module in known:
                    yield inside if inside in known else node.module


def _spread(sizes: Sequence[int]) -> str:
    every = sorted(sizes)
    p90, p99 = (every[int(len(every) * part)] for part in (0.90, 0.99))
    return f"median {median(every):g}, p90 {p90}, p99 {p99}, max {every[-1]}"


def main() -> None:
    """Print a line a tree, and its import circle if it has one."""
    for tree in TREES:
        print(f"{tree}: {measure(tree).row()}")
        if found := circle(tree):
            print(f"  import circle: {' -> '.join(found)}")


if __name__ == "__main__":
    main()
