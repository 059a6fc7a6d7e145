"""The grammar of systemd's environment files (`EnvironmentFile=`), as systemd itself reads them.

systemd.exec(5) tells only part of it: a backslash outside quotes escapes anything, a double-quoted text ends neither
at its line's end nor at a backslash before a letter, and what follows a closing quote belongs to the value. Owns the
reading of the text, and which assignments systemd drops. A test asks a real systemd about generated files.

Since systemd 254 a backslash at the end of a comment continues nothing; older ones skip the next line too. It is read
as since then, and `continued_comments` tells where the others read differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_BLANK: Final = " \t\n\r"
_LINE_ENDS: Final = "\n\r"
_COMMENTS: Final = "#;"
_ESCAPED_IN_QUOTES: Final = '"\\`$'
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_environment_file(path: Path) -> dict[str, str]:
    """Return the variables of a file; none of one that systemd cannot read. Raises OSError."""
    return parse_environment(path.read_bytes())


def parse_environment(content: bytes) -> dict[str, str]:
    """Return the variables that systemd takes from this content, the last of each name."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {}  # systemd refuses the whole file
    if "\0" in text:
        return {}
    reader = _Reader()
    for char in text:
        reader.state = reader.state(char)
    reader.end()
    return {name: value for name, value in reader.found.items() if _NAME.fullmatch(name)}


def continued_comments(content: bytes) -> tuple[int, ...]:
    """Return the lines, from 1, whose comment ends in a backslash: systemd before 254 has it go on in the next."""
    text, reader, found = content.decode(errors="replace"), _Reader(), []
    for at, char in enumerate(text):
        if char in _LINE_ENDS and reader.state == reader.comment and text[at - 1] == "\\":
            found.append(text.count("\n", 0, at) + 1)
        reader.state = reader.state(char)
    return tuple(found)


@dataclass(slots=True)
class _Reader:
    """The states of systemd's parser, one method each: a character in, the next state out.

    `solid` is the length of the value up to which blanks count: those at the end of an unquoted value do not.
    """

    found: dict[str, str] = field(default_factory=dict)
    key: str = ""
    value: str = ""
    solid: int = 0
    state: _State = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.before_key

    def before_key(self, char: str) -> _State:
        if char in _COMMENTS:
            return self.comment
        if char in _BLANK:
            return self.before_key
        self.key = char
        return self.in_key

    def in_key(self, char: str) -> _State:
        if char in _LINE_ENDS:
            return self.before_key
        if char == "=":
            self.value, self.solid = "", 0
            return self.before_value
        self.key += char
        return self.in_key

    def before_value(self, char: str) -> _State:
        """At the start of a value, and after a closing quote."""
        if char in _LINE_ENDS:
            return self._take()
        if char in "'\"":
            return self.single if char == "'" else self.double
        if char == "\\":
            return self.escape
        if char in _BLANK:
            return self.before_value
        self._add(char)
        return self.in_value

    def in_value(self, char: str) -> _State:
        if char in _LINE_ENDS:
            self.value = self.value[: self.solid]
            return self._take()
        if char == "\\":
            self.solid = len(self.value)
            return self.escape
        if char in _BLANK:
            self.value += char
        else:
            self._add(char)
        return self.in_value

    def escape(self, char: str) -> _State:
        if char not in _LINE_ENDS:
            self._add(char)
        return self.in_value

    def single(self, char: str) -> _State:
        if char == "'":
            return self.before_value
        self._add(char)
        return self.single

    def double(self, char: str) -> _State:
        if char == '"':
            return self.before_value
        if char == "\\":
            return self.double_escape
        self._add(char)
        return self.double

    def double_escape(self, char: str) -> _State:
        if char in _ESCAPED_IN_QUOTES:
            self._add(char)
        elif char != "\n":
            self._add("\\" + char)
        return self.double

    def comment(self, char: str) -> _State:
        return self.before_key if char in _LINE_ENDS else self.comment

    def end(self) -> None:
        """Take what the last line, which may lack its end, had begun."""
        if self.state == self.in_value:
            self.value = self.value[: self.solid]
        if self.state not in {self.before_key, self.in_key, self.comment}:
            self._take()

    def _add(self, text: str) -> None:
        self.value += text
        self.solid = len(self.value)

    def _take(self) -> _State:
        self.found[self.key.rstrip(_BLANK)] = self.value
        return self.before_key


_State = Callable[[str], "_State"]
