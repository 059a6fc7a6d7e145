"""A systemd unit as `systemctl cat` prints it: the command that it will run, and which file says so.

Owns as much of systemd.syntax(7) as names a flag of dockerd: continued lines, ExecStart= reset by an empty one,
variables from Environment= and EnvironmentFile=.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flanpy.files.environment_file import read_environment_file

_VARIABLE: Final = re.compile(r"\$\{(\w+)\}|\$(\w+)")


@dataclass(slots=True)
class _Unit:
    command: str = ""
    where: str = ""
    variables: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Value and origin, by name."""


def unit_command(text: str) -> tuple[tuple[str, ...], str]:
    """The words of the last ExecStart= with variables put in, and the files that they come from, for people."""
    unit = _Unit()
    for path, key, value in _settings(text):
        match key:
            case "ExecStart":
                unit.command, unit.where = value.lstrip("@-:+!"), path if value else ""
            case "Environment":
                unit.variables |= {name: (word, path) for name, word in _assignments(value)}
            case "EnvironmentFile":
                unit.variables |= _from_file(value)
            case _:
                pass
    words, places = _expanded(unit)
    return words, " and ".join(dict.fromkeys(filter(None, (unit.where, *places))))


def _settings(text: str) -> Iterator[tuple[str, str, str]]:
    """File, key and value, in the order in which systemd reads them."""
    path = ""
    for line in text.replace("\\\n", " ").splitlines():
        if re.match(r"# /\S+$", line):
            path = line[2:]
        elif not line.lstrip().startswith(("#", ";")):
            key, equals, value = line.partition("=")
            if equals:
                yield path, key.strip(), value.strip()


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    with suppress(ValueError):
        for word in shlex.split(text):
            name, equals, value = word.partition("=")
            if equals:
                yield name, value


def _from_file(value: str) -> dict[str, tuple[str, str]]:
    path = value.removeprefix("-")
    with suppress(OSError, ValueError):  # ValueError: a NUL in the path
        return {name: (text, path) for name, text in read_environment_file(Path(path)).items()}
    return {}


def _expanded(unit: _Unit) -> tuple[tuple[str, ...], list[str]]:
    """`$NAME` as a word of its own becomes several words, all else one, as systemd.service(5) has it."""
    words: list[str] = []
    places: list[str] = []
    values: Mapping[str, str] = {name: value for name, (value, _) in unit.variables.items()}
    with suppress(ValueError):
        for word in shlex.split(unit.command):
            for match in _VARIABLE.finditer(word):
                name = match[1] or match[2]
                places += [unit.variables[name][1]] if values.get(name) else []
            if alone := re.fullmatch(r"\$(\w+)", word):
                words += shlex.split(values.get(alone[1], ""))
            else:
                words.append(_VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), word))
    return tuple(words), places
