"""Markdown in the few forms that the reference needs. Knows nothing of what is written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

NOTE = "<!-- Made by `make reference` from the code. Changes made here are lost. -->"


def page(title: str, lead: str, *parts: str) -> str:
    """A whole page."""
    return "\n\n".join((f"{NOTE}\n\n# {title}", lead, *(part.strip("\n") for part in parts))) + "\n"


def section(title: str, *parts: str, level: int = 2) -> str:
    return "\n\n".join((f"{'#' * level} {title}", *(part.strip("\n") for part in parts if part)))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """In the line; nothing for nothing."""
    return f"`{text}`" if text else ""


def block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.strip(chr(10))}\n```"


def as_json(document: object) -> str:
    return block(json.dumps(document, indent=2, ensure_ascii=False), "json")


def plain(text: str) -> str:
    """Prose of the code on a page: what looks like a tag or an emphasis stays a text."""
    return text.replace("<", "\\<").replace("*", "\\*").replace("_", "\\_")
