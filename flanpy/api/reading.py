"""Reads documents of a daemon that may be of another version: what is missing or of another type is empty."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

_Convert = Callable[[object], Any]


def read(document: type[T], value: object) -> T:
    """Return the value as that document.

    Empty is "", 0, 0.0, False, (), {}, None where the field allows it, and else a document whose fields are empty.
    Elements of another type are left out of lists; unknown fields are ignored.
    """
    kind: Any = document
    found: T = _converter(kind)(value if isinstance(value, Mapping) else {})
    return found


@cache
def _converter(kind: Any) -> _Convert:
    """Return a function that gives the value as this type, and None for a value of another."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _document(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        (only,) = (one for one in arguments if one is not NoneType)
        return _converter(only)
    if origin is tuple:
        return _list(_converter(arguments[0]))
    if origin is Mapping:
        return _mapping(_converter(arguments[1]))
    return _PLAIN[kind]


def _document(kind: type[Any]) -> _Convert:
    hints = get_type_hints(kind)
    fields = [(name, _converter(hint), _empty(hint)) for name, hint in hints.items()]

    def convert(value: object) -> Any:
        if not isinstance(value, Mapping):
            return None
        found = []
        for name, of, empty in fields:
            given = value.get(name)
            read_as = None if given is None else of(given)
            found.append(empty if read_as is None else read_as)
        return kind(*found)

    return convert


@cache
def _empty(kind: Any) -> Any:
    if get_origin(kind) is UnionType:
        return None
    if get_origin(kind) is Mapping:
        return {}
    if kind in _PLAIN or get_origin(kind) is tuple:
        return (get_origin(kind) or kind)()
    return _converter(kind)({})


def _list(convert: _Convert) -> _Convert:
    def convert_all(value: object) -> Any:
        if not isinstance(value, list | tuple):
            return None
        return tuple(one for item in value if (one := convert(item)) is not None)

    return convert_all


def _mapping(convert: _Convert) -> _Convert:
    def convert_all(value: object) -> Any:
        if not isinstance(value, Mapping):
            return None
        found = ((str(key), convert(item)) for key, item in value.items())
        return {key: item for key, item in found if item is not None}

    return convert_all


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(value)
    return None if number is None else int(number)


_PLAIN: Mapping[Any, _Convert] = {
    str: lambda value: value if isinstance(value, str) else None,
    bool: lambda value: value if isinstance(value, bool) else None,
    float: _number,
    int: _whole,
}
