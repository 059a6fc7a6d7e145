"""Expressions of `nft -j` in roughly the words that nft prints: for people to recognise a rule. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NAMED_IN_FULL: Final = {"mark", "state", "status", "l4proto"}


def words(one: Mapping[str, Any]) -> str:
    """One statement."""
    match one:
        case {"match": {"op": op, "left": left, "right": right}}:
            sign = "" if op in {"==", "in"} else f"{op} "
            return f"{_side(left)} {sign}{_side(right)}"
        case {"counter": _}:
            return ""
        case {"jump": {"target": target}} | {"goto": {"target": target}}:
            return f"{next(iter(one))} {target}"
        case {"vmap": {"key": key, "data": data}}:
            return f"{_side(key)} vmap {_side(data)}"
        case {"mangle": {"key": key, "value": value}}:
            return f"{_side(key)} set {_side(value)}"
        case {"snat": {"addr": address}} | {"dnat": {"addr": address}}:
            return f"{next(iter(one))} to {_side(address)}"
        case _:
            return " ".join(one)


def value_text(value: Any) -> str:
    """An address, prefix, range, name or number."""
    match value:
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"elem": {"val": inner}}:
            return value_text(inner)
        case {"range": [first, last]}:
            return f"{first}-{last}"
        case _:
            return str(value)


def _side(side: Any) -> str:
    match side:
        case {"meta": {"key": key}} | {"ct": {"key": key}}:
            return f"{next(iter(side))} {key}" if key in _NAMED_IN_FULL else str(key)
        case {"payload": {"protocol": protocol, "field": name}}:
            return f"{protocol} {name}"
        case {"fib": {"result": result, "flags": flags}}:
            return f"fib {' '.join(flags)} {result}"
        case {"&": [first, second]} | {"|": [first, second]}:
            return f"{_side(first)} {next(iter(side))} {_side(second)}"
        case {"set": list() as elements}:
            return f"{{ {', '.join(map(_side, elements))} }}"
        case list():
            return ",".join(map(_side, side))
        case _:
            return value_text(side)
