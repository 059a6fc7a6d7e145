"""Settings from a TOML file.

Keys are flag names, with '-' or '_'. They may be grouped: in `[etcd]`, `endpoints` means `etcd-endpoints`; full names
do as well. A value is a string; a number or boolean where the option is one, a list where it takes several. The origin
carries the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from flanpy.config.kinds import Kind
from flanpy.config.options import BY_NAME, GROUPS
from flanpy.config.settings import Origin
from flanpy.config.sources import Given
from flanpy.config.suggest import nearest, one_line
from flanpy.errors import ConfigError

_TYPES: Final[dict[type, str]] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def read_file(path: Path, *, must_exist: bool) -> dict[str, Given] | None:
    """Texts by option name, None if there is no such file and there need not be one. Raises ConfigError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as cause:
        if must_exist:
            raise ConfigError(f"settings file '{path}' does not exist") from cause
        return None
    except OSError as cause:
        raise ConfigError(f"settings file '{path}' cannot be read: {cause.strerror}") from cause
    return _understood(path, content)


def _understood(path: Path, content: bytes) -> dict[str, Given]:
    import tomllib  # noqa: PLC0415 - most hosts have no file

    try:
        text = content.decode()
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as cause:  # of both UTF-8 and TOML
        raise ConfigError(f"settings file '{path}' is not TOML: {one_line(str(cause))}") from cause
    lines = _lines_of_keys(text)
    given: dict[str, Given] = {}
    for section, key, value in _entries(tables):
        where = f"{path}:{lines[section, key]}" if (section, key) in lines else str(path)
        name = _option_name(section, key, where)
        if name in given:
            raise ConfigError(f"file {where}: '{key}' sets {name} a second time, after {given[name].origin}")
        given[name] = Given(_texts(name, value, where), Origin("file", where))
    return given


def _entries(tables: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from ((key, inner, item) for inner, item in value.items())
        else:
            yield "", key, value


def _option_name(section: str, key: str, where: str) -> str:
    group, plain = section.replace("_", "-"), key.replace("_", "-")
    if group and group not in GROUPS:
        raise ConfigError(
            f"file {where}: unknown section '[{one_line(section)}]'{nearest(group, GROUPS, show='[{}]')}"
        )
    for name in (f"{group}-{plain}" if group else plain, plain):
        if name in BY_NAME and BY_NAME[name].in_file:
            return name
    names = [name for name, option in BY_NAME.items() if option.in_file]
    short = [name.removeprefix(f"{group}-") for name in names] if group else []
    raise ConfigError(f"file {where}: unknown key '{one_line(key)}'{nearest(plain, [*names, *short])}")


def _texts(name: str, value: object, where: str) -> tuple[str, ...]:
    if isinstance(value, list) and BY_NAME[name].kind.listed:
        return tuple(_text(name, item, where) for item in value)
    return (_text(name, value, where),)


def _text(name: str, value: object, where: str) -> str:
    """The value as a flag would have it. No type is bent into another: `endpoints = 5` is no endpoint called 5."""
    option = BY_NAME[name]
    if type(value) not in (str, *option.kind.typed):
        found = _TYPES.get(type(value), "a date or time")
        shown = "" if option.secret else f": {one_line(_plain(value))}"
        raise ConfigError(f"file {where}: {name} takes {_wanted(option.kind)}, not {found}{shown}")
    return _plain(value).lower() if isinstance(value, bool) else _plain(value)


def _plain(value: object) -> str:
    """Return the value's text. Python writes no integer of thousands of digits, which TOML has in hexadecimal."""
    try:
        return str(value)
    except ValueError:
        return "a number of thousands of digits"


def _wanted(kind: Kind) -> str:
    words = [_TYPES[each] for each in kind.typed] + ["a string"]
    return " or ".join([*words, "a list of strings"] if kind.listed else words)


def _lines_of_keys(text: str) -> dict[tuple[str, str], int]:
    """Line of each plain `key = ` by section; a best effort for messages, so quoted and dotted keys are left out."""
    lines: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            section = header[1]
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            lines.setdefault((section, key[1]), number)
    return lines
