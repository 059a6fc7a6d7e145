"""The changes that change nothing but speed, or nothing that can be reached: looked at, with the reason.

`equivalent.toml` has a table for each module; a key is `function: before  =>  after` as the tool prints it.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from pathlib import Path

from tests.mutants.changes import changes

FILE = Path(__file__).with_name("equivalent.toml")


def known() -> Mapping[str, Mapping[str, str]]:
    """Return the reasons, by module and change."""
    return tomllib.loads(FILE.read_text())


def stale(tree: ast.Module, reasons: Mapping[str, str]) -> list[str]:
    """Return the changes known for a module that cannot be made there any more."""
    there = {change.text() for change in changes(tree)}
    return [text for text in reasons if text not in there]
