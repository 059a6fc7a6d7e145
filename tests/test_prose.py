"""Code decides by enums and fields, never by words of flanpy's own texts: a better wording must change nothing else.

Looks for conditions on a text for people. Texts of other programs, which have nothing else to tell an error by, are
read in the adapters named here and nowhere else.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import flanpy

_PACKAGE: Final = Path(flanpy.__file__).parent
_FOR_PEOPLE: Final = frozenset({"text", "why", "message", "problem", "cure", "evidence", "detail", "said"})
_SEARCHES: Final = frozenset(
    {"startswith", "endswith", "partition", "rpartition", "find", "index", "count", "removeprefix"}
)
_MATCHES: Final = frozenset({"search", "match", "fullmatch"})
_READ_OF_OTHERS: Final = {
    "docker/dockerd.py": "dockerd --validate",
    "docker/user_network.py": "a refusal of dockerd",
    "netfilter/tools.py": "nft and iptables",
    "trace/iproute.py": "ip route get",
    "trace/routing.py": "ip route get",
}


def _is_for_people(node: ast.expr) -> bool:
    """An error as a text, or what is named as one."""
    match node:
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            return name in {"error", "cause", "failure", "err", "exc"}
        case ast.Call(func=ast.Attribute(attr="lower" | "strip" | "casefold"), args=[]):
            return _is_for_people(node.func.value)  # type: ignore[attr-defined]
        case ast.Attribute(attr=name):
            return name in _FOR_PEOPLE
        case ast.Name(id=name):
            return name in {"why", "said"}
        case _:
            return False


def _decisions(tree: ast.AST) -> Iterator[int]:
    """Lines that look for words in a text for people."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(
                left=ast.Constant(value=str()), ops=[ast.In() | ast.NotIn()], comparators=[whole]
            ):
                found = _is_for_people(whole)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=verb), args=[_, whole, *_]) if (
                verb in _MATCHES
            ):
                found = _is_for_people(whole)
            case ast.Call(func=ast.Attribute(value=whole, attr=verb), args=[_, *_]) if verb in _SEARCHES:
                found = _is_for_people(whole)
            case _:
                continue
        if found:
            yield node.lineno


def _found() -> dict[str, list[int]]:
    files = {str(path.relative_to(_PACKAGE)): path for path in _PACKAGE.rglob("*.py")}
    lines = {name: list(_decisions(ast.parse(path.read_text()))) for name, path in files.items()}
    return {name: numbers for name, numbers in lines.items() if numbers}


def test_no_code_decides_by_words_of_a_text_for_people() -> None:
    own = {name: lines for name, lines in _found().items() if name not in _READ_OF_OTHERS}
    assert own == {}, "give the error, hop, event or condition an enum or a field, and decide by that"


def test_files_that_read_texts_of_other_programs_are_listed_only_while_they_do() -> None:
    assert set(_READ_OF_OTHERS) - set(_found()) == set()


@pytest.mark.parametrize(
    "line",
    [
        'found = "future" in str(error)',
        'found = "reverse path" not in hop.text',
        'found = "docker" in hop.text.lower()',
        'found = met.text.startswith("policy")',
        'found = "forward" in why',
        're.search(" and more$", event.why)',
        'shown = str(error).partition(": stop")[0]',
    ],
)
def test_a_decision_by_words_is_found(line: str) -> None:
    assert list(_decisions(ast.parse(line))) == [1]


@pytest.mark.parametrize(
    "line", ['found = "mac" in attributes', "found = hop.cause is Cause.MTU", "str(error)"]
)
def test_a_decision_by_fields_is_none(line: str) -> None:
    assert list(_decisions(ast.parse(line))) == []
