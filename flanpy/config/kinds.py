"""Kinds of values: how a text becomes a typed value, and back.

Owns syntax only; what fits together is `checks.py`'s business. A parser raises ValueError with what it expected
("expected an IPv4 address"), never with the value itself: the caller names it, unless it is a secret.
"""

from __future__ import annotations

import math
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flanpy.config.settings import IPAddress, ListenAddress
from flanpy.config.suggest import nearest
from flanpy.model.host_name import host_name
from flanpy.model.networks.membership import is_label

_ETCD_PORT: Final = 2379
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHELL: Final = frozenset("$`;|&<>")
_TRUE: Final = frozenset({"1", "t", "true"})
_FALSE: Final = frozenset({"0", "f", "false"})
_AUTO_SWITCH: Final = ("auto", "on", "off")
_NUMBERS: Final = (int, float)


@dataclass(frozen=True, slots=True)
class Kind:
    """`parse` takes every text that one source gave, which is one unless the kind is `repeatable` (as a flag) or
    `listed` (in the file). `typed` are the TOML types that mean such a value without quotes."""

    metavar: str
    parse: Callable[[tuple[str, ...]], Any]
    render: Callable[[Any], str]
    repeatable: bool = False
    listed: bool = False
    switch: bool = False
    typed: tuple[type, ...] = ()
    choices: tuple[str, ...] = ()


def _render(value: object) -> str:
    return "" if value is None else str(value)


def _last(parse: Callable[[str], Any]) -> Callable[[tuple[str, ...]], Any]:
    return lambda texts: parse(texts[-1].strip())


def _optional(parse: Callable[[str], Any]) -> Callable[[tuple[str, ...]], Any]:
    return _last(lambda text: parse(text) if text else None)


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected text without control characters")
    return text


def _path(text: str) -> Path:
    if not text or not text.isprintable():
        raise ValueError("expected a path")
    return Path(text)


def _switch(text: str) -> bool:
    word = text.lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError(f"expected true or false{nearest(word, ('true', 'false'))}")


def _number(text: str, low: int, high: int) -> int:
    expected = f"expected a whole number from {low} to {high}"
    try:
        number = int(text, 10 if text.isdigit() else 0)
    except ValueError as cause:
        raise ValueError(expected) from cause
    if not low <= number <= high:
        raise ValueError(expected)
    return number


def _address(text: str) -> IPAddress:
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError as cause:
        raise ValueError("expected an IPv4 or IPv6 address") from cause


def _advertised(kind: type[IPv4Address] | type[IPv6Address], text: str) -> IPAddress:
    expected = f"expected an IPv{4 if kind is IPv4Address else 6} address that other hosts can reach"
    try:
        address = kind(text)
    except ValueError as cause:
        raise ValueError(expected) from cause
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise ValueError(expected)
    return address


def _seconds(text: str, unit: str, low: float) -> float:
    expected = f"expected a time of at least {_duration_text(low)} such as 30s, 15m or 24h (a bare number is in {unit})"
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text, re.ASCII)
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        seconds = float(text) * _UNITS[unit[0]]
    elif parts and "".join(number + suffix for number, suffix in parts) == text:
        seconds = sum(float(number) * _UNITS[suffix] for number, suffix in parts)
    else:
        raise ValueError(expected)
    if not low <= seconds <= 10 * 365 * _UNITS["d"]:
        raise ValueError(expected)
    return seconds


def _duration_text(seconds: float) -> str:
    for suffix in ("h", "m"):
        if seconds >= _UNITS[suffix] and seconds % _UNITS[suffix] == 0:
            return f"{int(seconds // _UNITS[suffix])}{suffix}"
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds:f}".rstrip("0") + "s"


def _pieces(texts: Iterable[str]) -> tuple[str, ...]:
    """Items of a list that may be split by commas or white space, or given as several texts."""
    return tuple(piece for text in texts for piece in re.split(r"[,\s]+", text) if piece)


def _endpoint(text: str) -> str:
    expected = "expected endpoints such as http://10.0.0.1:2379, separated by commas"
    url = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = url.port or _ETCD_PORT
    except ValueError as cause:
        raise ValueError(expected) from cause
    if "@" in url.netloc:
        raise ValueError("expected endpoints without user and password; use etcd-username and etcd-password")
    host = url.hostname or ""
    named = re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%\w+)?", host)
    if url.scheme not in {"http", "https"} or not named or url.path.strip("/") or url.query or url.fragment:
        raise ValueError(expected)
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _endpoints(texts: tuple[str, ...]) -> tuple[str, ...]:
    endpoints = tuple(dict.fromkeys(_endpoint(piece) for piece in _pieces(texts)))
    if not endpoints:
        raise ValueError("expected endpoints such as http://10.0.0.1:2379, separated by commas")
    if len({endpoint.partition(":")[0] for endpoint in endpoints}) > 1:
        raise ValueError("expected endpoints that are either all http:// or all https://")
    return endpoints


def _prefix(text: str) -> str:
    if not text.strip("/") or not text.isprintable():
        raise ValueError("expected a key prefix such as /coreos.com/network")
    # flannel joins keys with Go's path.Join, which cleans a path in this way
    cleaned = posixpath.normpath(text)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def _regexes(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            re.compile(text)
        except re.error as cause:
            raise ValueError(f"expected a regular expression ({cause})") from cause
    return tuple(text for text in texts if text)


def _commands(texts: tuple[str, ...]) -> tuple[str, ...]:
    commands = tuple(text.strip() for text in texts if text.strip())
    for text in commands:
        try:
            runnable = text.isprintable() and bool(shlex.split(text))
        except ValueError as cause:
            raise ValueError(f"expected a command line ({cause})") from cause
        if not runnable or _SHELL & {*text}:
            raise ValueError("expected a command line that needs no shell: put what does into a script")
    return commands


def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    found = [_network(text) for given in texts for text in given.replace(",", " ").split()]
    return tuple(dict.fromkeys(found))


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as cause:
        raise ValueError(f"expected networks such as 10.50.0.0/16 ({cause})") from cause


def _listen(text: str) -> ListenAddress | None:
    host, _, port = text.rpartition(":")
    if text in {"", "off"}:
        return None
    try:
        return ListenAddress(ip_address(host.removeprefix("[").removesuffix("]")), _number(port, 1, 65535))
    except ValueError as cause:
        raise ValueError("expected ADDRESS:PORT such as 127.0.0.1:8475 or [::]:8475, or off") from cause


def _dns_listen(text: str) -> ListenAddress | None:
    found = _listen(text)
    if found is not None and (not isinstance(found.host, IPv4Address) or found.host.is_unspecified):
        raise ValueError("expected one IPv4 address with a port such as 169.254.53.53:53, or off")
    return found


def _node_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", text):
        raise ValueError("expected 1 to 63 letters, digits, '.', '_' or '-', a letter or digit at both ends")
    return text


def _host_name(text: str) -> str:
    name = host_name(text)
    if not name:
        raise ValueError(
            "expected a host name of letters, digits, '.', '_' or '-', not an address or localhost"
        )
    return name


def _labels(texts: tuple[str, ...]) -> tuple[str, ...]:
    found = _pieces(texts)
    for label in found:
        if not is_label(label):
            raise ValueError("expected labels of 1 to 63 letters, digits, '.', '_' or '-'")
    return found


def _auto_switch(text: str) -> str:
    word = text.lower()
    if word in _TRUE | _FALSE:  # what it was before there was auto
        return "on" if word in _TRUE else "off"
    if word not in _AUTO_SWITCH:
        raise ValueError(f"expected one of {', '.join(_AUTO_SWITCH)}{nearest(word, _AUTO_SWITCH)}")
    return word


def choice(*words: str) -> Kind:
    """One of a few words, in any case."""

    def parse(text: str) -> str:
        word = text.lower()
        if word not in words:
            raise ValueError(f"expected one of {', '.join(words)}{nearest(word, words)}")
        return word

    return Kind("|".join(words), _last(parse), str, choices=words)


def duration(*, unit: str = "seconds", low: float = 1.0) -> Kind:
    """A time of at least `low` seconds, as a float; a bare number counts in `unit` (seconds or minutes)."""

    def render(seconds: float) -> str:
        minutes, rest = divmod(seconds, 60)
        return str(int(minutes)) if unit == "minutes" and rest == 0 else _duration_text(seconds)

    metavar = "MINUTES" if unit == "minutes" else "TIME"
    return Kind(metavar, _last(lambda text: _seconds(text, unit, low)), render, typed=_NUMBERS)


def whole_duration(*, low: int) -> Kind:
    """A time in whole seconds, rounded up."""
    parse = _last(lambda text: math.ceil(_seconds(text, "seconds", low)))
    return Kind("TIME", parse, _duration_text, typed=_NUMBERS)


TEXT: Final = Kind("TEXT", lambda texts: _text(texts[-1]), str)
PATH: Final = Kind("PATH", _last(_path), _render)
OPTIONAL_PATH: Final = Kind("PATH", _optional(_path), _render)
SWITCH: Final = Kind("BOOL", _last(_switch), lambda value: str(value).lower(), switch=True, typed=(bool,))
AUTO_SWITCH: Final = Kind(
    "|".join(_AUTO_SWITCH), _last(_auto_switch), str, switch=True, typed=(bool,), choices=_AUTO_SWITCH
)
PORT_OR_OFF: Final = Kind("PORT", _last(lambda text: _number(text, 0, 65535)), str, typed=(int,))
ADDRESS: Final = Kind("IP", _last(_address), str)
OPTIONAL_ADDRESS: Final = Kind("IP", _optional(_address), _render)
PUBLIC_IPV4: Final = Kind("IPv4", _optional(lambda text: _advertised(IPv4Address, text)), _render)
PUBLIC_IPV6: Final = Kind("IPv6", _optional(lambda text: _advertised(IPv6Address, text)), _render)
ENDPOINTS: Final = Kind("URL,...", _endpoints, ",".join, listed=True)
PREFIX: Final = Kind("KEY", _last(_prefix), str)
INTERFACES: Final = Kind("IP|NAME", _pieces, ",".join, repeatable=True, listed=True)
REGEXES: Final = Kind("REGEX", _regexes, " ".join, repeatable=True, listed=True)
COMMANDS: Final = Kind("COMMAND", _commands, "; ".join, repeatable=True, listed=True)
NETWORKS: Final = Kind(
    "NETWORK", _networks, lambda value: ",".join(map(str, value)), repeatable=True, listed=True
)
LISTEN: Final = Kind("IP:PORT", _last(_listen), lambda value: "off" if value is None else str(value))
DNS_LISTEN: Final = Kind("IP:PORT", _last(_dns_listen), lambda value: "off" if value is None else str(value))
NODE_ID: Final = Kind("ID", _optional(_node_id), _render)
LABELS: Final = Kind("LABEL", _labels, ",".join, repeatable=True, listed=True)
HOST_NAME: Final = Kind("NAME", _optional(_host_name), _render)
