"""A JSON object as text that a person wrote: which members it has, and how to change one without touching the rest.

Owns the offsets. Everything that is not replaced stays byte for byte: order, blanks, forms of numbers, escapes. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from flanpy.errors import DockerError

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Member:
    """One `"key": value` of the outermost object: `start` and `end` enclose it, `at` is where its value begins."""

    key: str
    value: Any
    start: int
    at: int
    end: int


def read_object(text: str, name: str) -> tuple[Member, ...]:
    """The members of the object that `text` is. Raises DockerError naming `name`, line and column.

    Stricter than Docker, whose decoder takes the last of two equal keys and ignores what follows the object: what is
    ambiguous is not edited.
    """
    try:
        whole = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise DockerError(f"'{name}' is nested too deeply to be read: correct it by hand") from None
    except json.JSONDecodeError as cause:
        raise DockerError(_explained(text, name, cause)) from cause
    except ValueError as cause:
        raise DockerError(f"'{name}' is not JSON: {cause}; correct it by hand") from cause
    if not isinstance(whole, dict):
        raise DockerError(
            f"'{name}' holds a JSON {_kind(whole)}, not an object: put Docker's settings in {{...}}"
        )
    return tuple(_members(text))


def replace_value(text: str, member: Member, value: Any) -> str:
    """`text` with another value for a member."""
    return text[: member.at] + json.dumps(value) + text[member.end :]


def remove(text: str, members: tuple[Member, ...], member: Member) -> str:
    """`text` without a member, and without the comma and the blanks that it leaves."""
    place = members.index(member)
    if place > 0:
        return text[: members[place - 1].end] + text[member.end :]
    if len(members) > 1:
        return text[: member.start] + text[members[1].start :]
    return text[: member.start].rstrip() + text[member.end :].lstrip()


def append(text: str, members: tuple[Member, ...], key: str, value: Any) -> str:
    """`text` with one more member at the end, laid out like the last one."""
    new = json.dumps(key) + _colon(text, members) + json.dumps(value)
    if members:
        last = members[-1].end
        return text[:last] + "," + _gap(text, members) + new + text[last:]
    opening = text.index("{") + 1
    line = "\r\n" if "\r\n" in text else "\n"
    return text[:opening] + f"{line}    {new}{line}" + text[text.rindex("}") :]


def _gap(text: str, members: tuple[Member, ...]) -> str:
    """The blanks between two members: those before the last one, without blank lines that group."""
    if len(members) > 1:
        between = text[members[-2].end : members[-1].start].partition(",")[2]
    else:
        between = text[text.index("{") + 1 : members[0].start]
    if "\n" not in between:
        return between if len(members) > 1 else " "
    newline = "\r\n" if "\r\n" in between else "\n"
    return newline + between.rpartition("\n")[2]


def _colon(text: str, members: tuple[Member, ...]) -> str:
    """Return the text between a key and its value, as in the last member."""
    if not members:
        return ": "
    last = members[-1]
    return text[last.start + len(_key_text(text, last)) : last.at]


def _key_text(text: str, member: Member) -> str:
    end = _DECODER.raw_decode(text, member.start)[1]
    return text[member.start : end]


def _members(text: str) -> Iterator[Member]:
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        start = at
        key, at = _DECODER.raw_decode(text, at)
        value_at = _skip(text, _skip(text, at) + 1)  # past the colon
        value, end = _DECODER.raw_decode(text, value_at)
        yield Member(key, value, start, value_at, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None
    return match.end()


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _kind(value: Any) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def _explained(text: str, name: str, cause: json.JSONDecodeError) -> str:
    where = f"'{name}' is not JSON: {cause.msg.lower()} at line {cause.lineno}, column {cause.colno}"
    rest = text[cause.pos :].lstrip(" \t\r\n,")
    if rest.startswith(("//", "/*", "#")):
        return f"{where}: JSON has no comments, take it out"
    return f"{where}; correct it by hand, it was left as it is"
