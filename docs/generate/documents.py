"""The documents of the control socket: a table of fields of each, and one JSON schema of all (2020-12)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from docs.generate import markdown
from flanpy.api.answers import ANSWERS
from flanpy.api.leases import ExpiringSubnetDocument

SCHEMA = "http.schema.json"

_PLAIN = {str: "text", int: "integer", float: "number", bool: "boolean"}


def section() -> str:
    """Return the documents in the order in which the answers name them."""
    shown = [_document(kind) for kind in _all()]
    lead = f"All of them are one JSON schema, too: [{SCHEMA}]({SCHEMA}), in whose `$defs` each stands by its name."
    return markdown.section("Documents", lead, *shown)


def link(path: str) -> str:
    """Return a link to the document that a request is answered with, "" if it has none."""
    kind = ANSWERS.get(path)
    return "" if kind is None else _link(kind)


def schema() -> str:
    """Return the schema as a file's text; a definition allows more fields than it names, as newer versions add some."""
    _, components = msgspec.json.schema_components(_all(), ref_template="#/$defs/{name}")
    for definition in components.values():
        definition["description"] = " ".join(definition["description"].split())
    answers = {path: {"$ref": f"#/$defs/{kind.__name__}"} for path, kind in ANSWERS.items()}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answers of flanpyd's control socket, by path",
        "type": "object",
        "properties": answers,
        "$defs": components,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _all() -> list[type[Any]]:
    found: dict[type[Any], None] = {}
    for kind in (*ANSWERS.values(), ExpiringSubnetDocument):
        for one in _nested(kind):
            found.setdefault(one)
    return [*found]


def _nested(kind: Any) -> Iterator[type[Any]]:
    """Yield the document and those in its fields, outer ones first."""
    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from _nested(hint)
    for argument in get_args(kind):
        yield from _nested(argument)


def _document(kind: type[Any]) -> str:
    hints = get_type_hints(kind)
    rows = [(markdown.code(field.name), _type(hints[field.name])) for field in fields(kind)]
    return markdown.section(
        kind.__name__, inspect.getdoc(kind) or "", markdown.table(("field", "value"), rows), level=3
    )


def _type(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        (only,) = (one for one in arguments if one is not NoneType)
        return f"{_type(only)} or null"
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is Mapping:
        return f"object of {_type(arguments[1])}"
    return _PLAIN[kind] if kind in _PLAIN else _link(kind)


def _link(kind: type[Any]) -> str:
    return f"[{kind.__name__}](#{kind.__name__.lower()})"
