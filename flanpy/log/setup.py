"""The form of log lines: JSON, or aligned text on a terminal.

Must not decide anything, read files, or raise because a line cannot be written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from enum import Enum
from typing import Any, Final, TextIO

from flanpy.log.bridge import Bridge
from flanpy.log.lines import Lines, journal_prefixes
from flanpy.log.logger import structlog
from flanpy.log.secrets import mask_secrets
from flanpy.printable import escaped, on_one_line, tamed

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_EventDict = MutableMapping[str, Any]

_json = structlog.processors.JSONRenderer(ensure_ascii=False)


def configure(fmt: str = "auto", level: str = "info", *, stream: TextIO | None = None) -> None:
    """Set the form (`json`, `console`, or `auto`: console on a terminal) and the lowest level; callable again.

    Lines go to standard error unless `stream` is given. Libraries that use the standard library's logging (asyncio,
    aiohttp, grpc) come out in the same form, from warnings up.
    """
    target = sys.stderr if stream is None else stream
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            plain_values,
            mask_secrets,
            _renderer(fmt, target),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: Lines(target, journal_prefixes(target)),
        cache_logger_on_first_use=False,  # or a reload could not change the level
    )
    root = logging.getLogger()
    root.handlers[:] = [Bridge()]
    root.setLevel(max(LEVELS[level], logging.WARNING))


def plain_values(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    """Turn domain values (addresses, enums, errors, collections) into what both renderers print alike."""
    for key, value in event.items():
        event[key] = _plain(value)
    if isinstance(trace := event.get("exception"), str):
        event["exception"] = tamed(
            trace
        )  # what was raised may quote anybody, and a console prints it as it is
    return event


def _renderer(fmt: str, stream: TextIO) -> Callable[[Any, str, _EventDict], str | bytes]:
    terminal = _is_terminal(stream)
    if fmt == "console" or (fmt == "auto" and terminal):
        return _on_console(
            structlog.dev.ConsoleRenderer(colors=terminal, timestamp_key="ts", pad_event_to=24)
        )
    return _json_line


def _on_console(render: structlog.dev.ConsoleRenderer) -> Callable[[Any, str, _EventDict], str]:
    """structlog shows text without blanks as it is, with whatever a terminal would obey."""

    def line(logger: Any, method: str, event: _EventDict) -> str:
        for key, value in event.items():
            if isinstance(value, str) and key != "exception":
                event[key] = on_one_line(value)
        return render(logger, method, event)

    return line


def _json_line(logger: Any, method: str, event: _EventDict) -> str | bytes:
    head = {key: event.pop(key) for key in ("ts", "level", "event") if key in event}
    return escaped(str(_json(logger, method, {**head, **event})))


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return _plain(value.value)
        case str() | bool() | int() | float() | None:
            return value
        case BaseException():
            return f"{type(value).__name__}: {value}" if str(value) else type(value).__name__
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted(str(item) for item in value)
        case _:
            return str(value)
