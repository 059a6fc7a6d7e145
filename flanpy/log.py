"""Structured logging: set-up, the glossary of keys, secrets masked, and the once-per-outage memory.

Owns how a line looks (JSON, or aligned text on a terminal) and which keys it may carry. Who logs writes
`log = get_logger()` at module level and `log.info("lease_acquired", subnet=..., took_ms=...)`: the event is a stable
snake_case noun_past constant, every value is a key of `KEYS`. Log transitions, not repetitions (`Transition`).
Must not: decide anything, read files, or raise because a line cannot be written.

structlog's development extras import rich if it is installed, which the daemon never needs: 100 ms and 7.5 MB against
22 ms and 2.2 MB. They are told it is absent while they load (structlog documents it as optional).
"""

from __future__ import annotations

import logging
import os
import re
import select
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TextIO, cast

from flanpy.printable import escaped, on_one_line, tamed

_HIDDEN_WHILE_STRUCTLOG_LOADS = [name for name in ("rich", "better_exceptions") if name not in sys.modules]
for _name in _HIDDEN_WHILE_STRUCTLOG_LOADS:
    sys.modules[_name] = cast(Any, None)
try:
    import structlog
    from structlog.typing import FilteringBoundLogger
finally:
    for _name in _HIDDEN_WHILE_STRUCTLOG_LOADS:
        del sys.modules[_name]

# What each key means, wherever it appears. A key that is not here does not go into a log line.
KEYS: Final[Mapping[str, str]] = {
    # the overlay
    "network": "the whole overlay range",
    "subnet": "one host's range",
    "previous": "the value before a change",
    "current": "the value after a change",
    "node": "node id, the identity of a host",
    "peer": "another host, by node id or subnet",
    "public_ip": "address a host advertises for encapsulated packets",
    "backend": "backend type in flannel's words",
    "plane": "data plane of the udp backend: kernel or user",
    "vni": "VXLAN network identifier",
    "vtep_mac": "MAC address of a VXLAN device",
    "lease_id": "etcd lease id",
    "expires_at": "wall time when a lease ends",
    "ttl": "seconds a lease lives",
    "reserved": "the lease has no end",
    # the kernel
    "link": "network interface",
    "address": "IP address on a link, or a socket's",
    "port": "TCP or UDP port",
    "mtu": "bytes",
    "kind": "kind of a kernel object or of a link",
    "key": "identity of a kernel object or an etcd key",
    "op": "kernel change, in iproute2's words",
    "ops": "number of changes",
    "adds": "objects added",
    "replaces": "objects replaced",
    "deletes": "objects deleted",
    "held": "deletions a gate held back",
    "family": "family of a failure or of an address",
    "sysctl": "name of a kernel setting",
    # the store
    "endpoint": "one etcd endpoint",
    "prefix": "etcd key prefix",
    "revision": "etcd revision",
    "peers": "number of other hosts' leases",
    "leases": "number of leases",
    "events": "number of events",
    # the daemon
    "version": "flanpy's version",
    "pid": "a process",
    "phase": "phase of the daemon",
    "condition": "named state that an operator may act on",
    "pass_id": "number of a reconcile pass",
    "signal": "name of a signal",
    "task": "name of an asyncio task",
    "exit_code": "status a process ended with",
    "option": "name of a setting",
    "options": "names of settings",
    "origin": "where a setting came from",
    "value": "a setting's value",
    "path": "file or directory",
    "output": "what a command printed",
    "action": "what follows for the operator or the daemon",
    # failures and time
    "error": "what went wrong, in one line",
    "errno": "the kernel's or the C library's error number",
    "reason": "why a decision was taken",
    "count": "how many at once",
    "attempt": "number of a try, from 1",
    "delay": "seconds until the next try",
    "outage": "seconds an outage lasted",
    "took_ms": "milliseconds spent",
    # lines of libraries that use the standard library's logging
    "logger": "name of a standard library logger",
    "message": "text of a library's line",
    "exc_info": "an exception whose traceback is wanted",
    "exception": "that traceback",
}

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
MASK: Final = "********"

_EventDict = MutableMapping[str, Any]
_SECRET_NAMES: Final = frozenset({"password", "token", "psk", "secret", "authorization", "private_key"})
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL
)
_URL_CREDENTIALS: Final = re.compile(r"(://[^/@:\s]*):[^/@\s]+@")
_SHORTEST_PROTECTED: Final = 4
_protected: set[str] = set()


def get_logger(**keys: Any) -> FilteringBoundLogger:
    """A logger that carries `keys` on every line and follows a later `configure` (one made by `.bind` does not)."""
    return cast(FilteringBoundLogger, structlog.get_logger(**keys))


def protect(*secrets: str) -> None:
    """Never let these texts into a line, wherever they turn up (an etcd error may quote a request)."""
    _protected.update(secret for secret in secrets if len(secret) >= _SHORTEST_PROTECTED)


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
        logger_factory=lambda *_: _Lines(target, _journal_prefixes(target)),
        cache_logger_on_first_use=False,  # or a reload could not change the level
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
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


def mask_secrets(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    """Hide values under secret names, private keys, credentials in URLs, and all that `protect` was told."""
    for key, value in event.items():
        event[key] = MASK if _names_secret(key) and value else _masked(value)
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


_json = structlog.processors.JSONRenderer(ensure_ascii=False)


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


def _names_secret(key: str) -> bool:
    return any(name in key.lower() for name in _SECRET_NAMES)


def _masked(value: Any) -> Any:
    match value:
        case str():
            return _masked_text(value)
        case dict():
            return {
                key: MASK if _names_secret(key) and item else _masked(item) for key, item in value.items()
            }
        case list():
            return [_masked(item) for item in value]
        case _:
            return value


def _masked_text(text: str) -> str:
    for secret in _protected:
        text = text.replace(secret, MASK)
    return _URL_CREDENTIALS.sub(rf"\1:{MASK}@", _PEM.sub(MASK, text))


# sd-daemon(3): journald takes a line's priority from a "<N>" in front.
_PRIORITIES: Final[Mapping[str, str]] = {
    "debug": "<7>",
    "info": "<6>",
    "warning": "<4>",
    "error": "<3>",
    "critical": "<2>",
}


def _journal_prefixes(stream: TextIO) -> Mapping[str, str]:
    """The priorities if `stream` is what systemd.exec(5) says it connected to the journal, else nothing."""
    with suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        if os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
            return _PRIORITIES
    return {}


class _Lines:
    """Writes finished lines. A reader that went away or does not read, or a full disk, costs the line, not the daemon.

    Lines are lost rather than waited for: a journald that hangs must not keep a lease from being renewed.
    """

    lost = 0
    """Of all streams; there is one."""

    def __init__(self, stream: TextIO, prefixes: Mapping[str, str]) -> None:
        self._stream = stream
        self._prefixes = prefixes

    def __getattr__(self, method: str) -> Callable[[str], None]:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda line: self._write(self._prefixes.get(method, "") + line + "\n")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            if not _takes_lines(self._stream):
                _Lines.lost += 1
                return
            self._stream.write(text)
            self._stream.flush()
        if (lost := _Lines.lost) and _takes_lines(self._stream):
            _Lines.lost = 0
            get_logger().warning("log_lines_lost", count=lost, reason="nobody read the log for a while")


def _takes_lines(stream: TextIO) -> bool:
    """Whether a write would not wait: of a pipe, that a page is free. Files and what has no descriptor never wait."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True


class _Bridge(logging.Handler):
    """Brings the lines of libraries into our form, and one of a kind a minute: asyncio without file descriptors says
    so a hundred times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet: dict[str, _Quiet] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        repeated = self._repeated(f"{record.name} {text[:_SAME_KIND]}")
        if repeated is None:
            return
        keys: dict[str, Any] = {"logger": record.name, "message": text}
        if repeated:
            keys["count"] = repeated
        if record.exc_info:
            keys["exc_info"] = record.exc_info
        get_logger().log(record.levelno, "library_logged", **keys)

    def _repeated(self, kind: str) -> int | None:
        """How many of this kind were left out before this one, which is due; None if it is to be left out, too."""
        now = time.monotonic()
        if len(self._quiet) >= _MOST_KINDS:
            self._quiet = {name: each for name, each in self._quiet.items() if now < each.until}
        name = kind if kind in self._quiet or len(self._quiet) < _MOST_KINDS else ""
        known = self._quiet.get(name)
        if known is not None and now < known.until:
            known.left_out += 1
            return None
        self._quiet[name] = _Quiet(now + _QUIET_S)
        return 0 if known is None else known.left_out


@dataclass(slots=True)
class _Quiet:
    """A kind of line that was just written."""

    until: float
    left_out: int = 0


_QUIET_S: Final = 60.0
_SAME_KIND: Final = 60
"""Characters of a line in which two of a kind agree."""
_MOST_KINDS: Final = 64


_MOST_REASONS: Final = 5


@dataclass(frozen=True, slots=True)
class Outage:
    """A finished run of failures: how long it took and how many failures it held."""

    seconds: float
    count: int


@dataclass(slots=True)
class Transition:
    """Memory of one family of failures, so that an outage costs two lines, however long it lasts.

    `failed` says whether this failure is worth a line: the first of an outage, and the first of each further reason.
    `succeeded` returns the outage it ended, or None if there was none. `now` is the monotonic clock's seconds.
    """

    since: float | None = None
    count: int = 0
    _reasons: set[str] = field(default_factory=set)

    @property
    def failing(self) -> bool:
        """Whether the last word was a failure."""
        return self.since is not None

    def failed(self, now: float, *, reason: str = "", count: int = 1) -> bool:
        """Note `count` failures at once; True if a line is due, which is so for the first few reasons only."""
        if self.since is None:
            self.since = now
        self.count += count
        if reason in self._reasons or len(self._reasons) >= _MOST_REASONS:
            return False
        self._reasons.add(reason)
        return True

    def succeeded(self, now: float) -> Outage | None:
        """Note a success."""
        if self.since is None:
            return None
        outage = Outage(now - self.since, self.count)
        self.since, self.count = None, 0
        self._reasons.clear()
        return outage
