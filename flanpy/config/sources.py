"""The text that one source gave for one option, before it is parsed."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.config.option import Option
from flanpy.config.settings import Origin
from flanpy.config.suggest import one_line
from flanpy.errors import ConfigError, UsageError


@dataclass(frozen=True, slots=True)
class Given:
    """Raw texts for an option; more than one only for a repeatable option."""

    texts: tuple[str, ...]
    origin: Origin


def parsed(option: Option, given: Given) -> object:
    """The typed value; UsageError (flag) or ConfigError names the place, the value and what was expected."""
    try:
        return option.kind.parse(given.texts)
    except ValueError as cause:
        value = "the value" if option.secret else f"'{one_line(','.join(given.texts))}'"
        error = UsageError if given.origin.source == "flag" else ConfigError
        # a flag and a variable have the option's name, a line of a file does not
        name = f" {option.name}" if given.origin.source == "file" else ""
        raise error(f"{given.origin}:{name} {value} cannot be used: {cause}") from cause
