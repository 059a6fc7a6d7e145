"""The JSON of a network config, before anybody looks at its fields: text or bytes to one object with unique keys.

Stricter than flannel's parser only where that would take one of two values in silence. Must not know what fields mean.
"""

from __future__ import annotations

import json
from typing import NoReturn

from flanpy.errors import ConfigError
from flanpy.model.quoting import quoted_json, shortened

LONGEST = 256 * 1024
"""Characters of config text that are looked at; etcd itself takes up to 1.5 MiB."""


class Spelled(dict[str, object]):
    """An object with its keys in lower case; `spelled` has them as they were written."""

    def __init__(self) -> None:
        super().__init__()
        self.spelled: dict[str, str] = {}


class _Repeated(ValueError):
    """A key stands twice in one object; Go would silently take the last."""


def decoded(text: str | bytes) -> str:
    """The text itself, within reason; raises ConfigError."""
    if len(text) > LONGEST:
        raise ConfigError(
            f"network config: {len(text)} bytes are more than the {LONGEST} allowed; store a shorter one"
        )
    try:
        return text if isinstance(text, str) else text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"network config: byte {error.start} is not UTF-8; store JSON text") from error


def json_object(source: str) -> dict[str, object]:
    """The object that the text is, keys in lower case; raises ConfigError."""
    try:
        document: object = json.loads(source, object_pairs_hook=_unique, parse_constant=_no_constant)
    except _Repeated as error:
        raise ConfigError(f"network config: {error}") from error
    except RecursionError as error:
        raise ConfigError(
            "network config: brackets are nested too deeply; a config has two levels"
        ) from error
    except ValueError as error:
        raise ConfigError(f"network config: no JSON: {shortened(str(error))}") from error
    if not isinstance(document, dict):
        raise ConfigError(
            f'network config: {quoted_json(document)} is no JSON object like {{"Network": "10.5.0.0/16"}}'
        )
    return document


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Keys in lower case, as Go matches them; a key given twice is refused, in whatever case."""
    found = Spelled()
    spelled = found.spelled
    for name, value in pairs:
        lower = name.lower()
        if lower in found:
            raise _Repeated(
                f"key {quoted_json(name)} stands twice (as {quoted_json(spelled[lower])} before); keep one"
            )
        found[lower] = value
        spelled[lower] = name
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
