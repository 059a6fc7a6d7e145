"""Taking secrets out of what leaves the host. Pure.

Three nets, one behind the other: values that are known to be secret, values whose key or flag says so (in JSON, TOML,
environment files, command lines and headers), and what is secret by its form (PEM keys, passwords in URLs). To mask a
word too many costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

MASK: Final = "********"

_SHORTEST: Final = 4
"""A known secret of fewer characters would take half of every file along; its key gives it away anyway."""

_NAMES: Final = (
    r"(?:passw|passphrase|secret|token|credential|private[_-]?key|preshared|psk|api[_-]?key|\bauth)"
)
_WORD: Final = rf"[\w.-]{{0,40}}{_NAMES}[\w.-]{{0,40}}"

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_URL = re.compile(r"(://)[^\s/@\"'<>]{1,200}@")
_HEADER = re.compile(r"\b(Bearer|Basic)(\s+)[A-Za-z0-9+/._~=-]{6,}", re.IGNORECASE)
_JSON = re.compile(rf"((\\*\"){_WORD}\2\s*:\s*)(?:(\\*\").*?(?<!\\)\3|\d+)", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?<![\w.-])({_WORD}(?:\s*=\s*|:\s+))(?:(\\*[\"'])[^\"'\n]*?\2|[^\s,;\"'*\\]+)", re.IGNORECASE
)
_FLAG = re.compile(rf"(?<!\S)(--?{_WORD}\s+)(?![-*])\S+", re.IGNORECASE)


def scrubbed(value: Any, known: Iterable[str] = ()) -> Any:
    """A JSON document without secrets: what stands under a key that says so goes as a whole."""
    known = tuple(known)
    match value:
        case Mapping():
            return {
                key: MASK if _says_secret(str(key)) and item else scrubbed(item, known)
                for key, item in value.items()
            }
        case list() | tuple():
            return [scrubbed(item, known) for item in value]
        case str():
            return without_secrets(value, known)
        case _:
            return value


def _says_secret(key: str) -> bool:
    return re.fullmatch(_WORD, key, re.IGNORECASE) is not None


def without_secrets(text: str, known: Iterable[str] = ()) -> str:
    """The same text with every secret masked; `known` are values to take out wherever they stand."""
    for value in sorted(known, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, MASK)
    text = _PEM.sub(MASK, text)
    text = _URL.sub(rf"\1{MASK}@", text)
    text = _HEADER.sub(rf"\1\2{MASK}", text)
    text = _JSON.sub(rf"\1\2{MASK}\2", text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    return _FLAG.sub(rf"\1{MASK}", text)
