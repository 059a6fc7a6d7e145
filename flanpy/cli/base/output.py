"""The printing of results: tables, JSON, YAML, names.

Owns the form, never the content: the same cells come out on a terminal (rich, imported only there) and in a pipe
(plain aligned text). JSON keys are snake_case and stable. Must not know the meaning of a row.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from flanpy.printable import escaped, on_one_line

_LEAST_LAST = 24
"""Characters that the last column keeps."""

FORMATS = ("table", "json", "yaml")


@dataclass(frozen=True, slots=True)
class Table:
    """Column titles, and rows of as many cells. An empty cell is shown as `-`.

    `styles` are rich styles by row number, for what should catch the eye on a terminal; they carry no content.
    `optional` are titles of columns that a narrow terminal does without, the first to go first.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    styles: Mapping[int, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()


def print_table(table: Table, stream: TextIO | None = None) -> None:
    """Print aligned columns; on a terminal through rich unless NO_COLOR or TERM=dumb forbid (no-color.org)."""
    target = sys.stdout if stream is None else stream
    if target.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        _print_rich(table, target)
    else:
        target.write(plain_table(table))


def plain_table(table: Table) -> str:
    """The table as text: two spaces between columns, no trailing blanks, one line a row."""
    lines = [table.titles, *(tuple(cell or "-" for cell in row) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(_aligned(line, widths) for line in lines)


def fitted(table: Table, width: int) -> Table:
    """Return the table without as many of its optional columns as it takes to fit; the last column may be wrapped."""
    for title in table.optional:
        if _width(table) <= width:
            break
        keep = [place for place, name in enumerate(table.titles) if name != title]
        table = Table(
            tuple(table.titles[place] for place in keep),
            tuple(tuple(row[place] for place in keep) for row in table.rows),
            table.styles,
            table.optional,
        )
    return table


def wrapped(table: Table, width: int) -> list[list[str]]:
    """Return the lines of each row, the head's first; the last column goes on below itself where it is too long."""
    rows = [table.titles, *(tuple(cell or "-" for cell in row) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    begins = sum(size + 2 for size in widths[:-1])
    room = max(_LEAST_LAST, width - begins)
    found = []
    for row in rows:
        pieces = textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]
        first = _aligned((*row[:-1], pieces[0]), [*widths[:-1], 0]).rstrip("\n")
        found.append([first, *(" " * begins + piece.translate(_CONTROL) for piece in pieces[1:])])
    return found


def _width(table: Table) -> int:
    """Return the columns that the table takes; of the last one, which can be wrapped, the least."""
    rows = [table.titles, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return sum(size + 2 for size in widths[:-1]) + min(widths[-1], _LEAST_LAST)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        .rstrip()
        .translate(_CONTROL)
        + "\n"
    )


# Node ids and reasons come from etcd: a control character in them must not reach the terminal.
_CONTROL = dict.fromkeys(
    (*range(32), *range(127, 160), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF),
    "?",
) | dict.fromkeys(range(0xD800, 0xE000), "?")


def printable(text: str) -> str:
    """The same without control characters."""
    return text.translate(_CONTROL)


def _print_rich(table: Table, target: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    width = shutil.get_terminal_size().columns
    head, *rows = wrapped(fitted(table, width), width)
    console = Console(file=target, highlight=False, soft_wrap=True)
    console.print(Text(head[0], style="bold"))
    for number, lines in enumerate(rows):
        for line in lines:
            console.print(Text(line, style=table.styles.get(number, "")))


def print_json(value: Any, stream: TextIO | None = None, *, compact: bool = False) -> None:
    """JSON: indented for people, or one line a value (`compact`) for streams of them."""
    import json

    target = sys.stdout if stream is None else stream
    text = json.dumps(value, ensure_ascii=False, indent=None if compact else 2, default=str)
    target.write(escaped(text) + "\n")


def print_yaml(value: Any, stream: TextIO | None = None) -> None:
    """YAML 1.2 of mappings, sequences and scalars."""
    (sys.stdout if stream is None else stream).write(yaml_text(value) + "\n")


def print_as(form: str, value: Any) -> None:
    """Print a value as `json` or `yaml`."""
    if form == "yaml":
        print_yaml(value)
    else:
        print_json(value)


def yaml_text(value: Any, indent: int = 0) -> str:
    """Block style; every string is double-quoted JSON, which YAML 1.2 reads as it is."""
    pad = "  " * indent
    match value:
        case Mapping() if value:
            return "\n".join(
                f"{pad}{on_one_line(str(key))}:{_yaml_below(item, indent)}" for key, item in value.items()
            )
        case list() | tuple() if value:
            return "\n".join(f"{pad}-{_yaml_item(item, indent)}" for item in value)
        case _:
            return pad + _yaml_scalar(value)


def _yaml_below(value: Any, indent: int) -> str:
    nested = isinstance(value, Mapping | list | tuple) and value
    return f"\n{yaml_text(value, indent + 1)}" if nested else f" {_yaml_scalar(value)}"


def _yaml_item(value: Any, indent: int) -> str:
    nested = isinstance(value, Mapping | list | tuple) and value
    return f" {yaml_text(value, indent + 1).lstrip()}" if nested else f" {_yaml_scalar(value)}"


def _yaml_scalar(value: Any) -> str:
    import json

    return escaped(json.dumps(value, ensure_ascii=False, default=str))
