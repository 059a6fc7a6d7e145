"""Option files for hosts that start Docker with an environment file, as flannel's mk-docker-opts writes them.

Owns the rules of that file: variables DOCKER_OPT_* in the order of their names, each as a line of its own and all in
one line, after what the combined variable held in the environment. Written from the behaviour of flannel v0.28,
but for one thing: flannel takes any variable of subnet.env. Here that file belongs to the daemon's user and dockerd is
root, so three values are read of it, each as what it is to be; DOCKER_OPT_* come from the environment alone.
"""

from __future__ import annotations

import re
import shlex
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final

from flanpy.errors import DockerError
from flanpy.printable import on_one_line

DEFAULT_OUTPUT: Final = Path("/run/docker_opts.env")
DEFAULT_KEY: Final = "DOCKER_OPTS"

_PREFIX: Final = "DOCKER_OPT_"
_SUBNET, _MTU, _MASQUERADE = "FLANNEL_SUBNET", "FLANNEL_MTU", "FLANNEL_IPMASQ"
_OF_SUBNET: Final = frozenset({_SUBNET, _MTU, _MASQUERADE})
_LARGEST_MTU: Final = 65536
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROUTES: Final = Path("/proc/net/route")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form of the file. Neither `single` nor `combined` means both, as in flannel."""

    single: bool = False
    combined: bool = False
    key: str = DEFAULT_KEY
    masquerade: bool = True


def text(values: Mapping[str, str], form: Form) -> str:
    """The file's content. `values` are the environment with subnet.env over it. Raises DockerError."""
    if not _NAME.fullmatch(form.key):
        raise DockerError(f"'{form.key}' cannot be a variable: use letters, digits and '_'")
    options = _options(values, form)
    both = not form.single and not form.combined
    lines = [f'{name}="{value}"\n' for name, value in options.items()] if form.single or both else []
    if form.combined or both:
        before = values.get(form.key, "")
        words = (before + " " if before else "") + "".join(f" {value}" for value in options.values())
        lines.append(f'{form.key}="{words}"\n')
    return "".join(lines)


def values_of(content: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, and over it what a shell would learn of the subnet from the text of subnet.env."""
    values = dict(environ)
    for line in content.splitlines():
        values.update((name, value) for name, value in _assignments(line) if name in _OF_SUBNET)
    return values


def foreign_route(values: Mapping[str, str], routes: str | None = None) -> str:
    """A route to the subnet through a gateway, which would take its packets away; '' if there is none.

    The columns of the kernel's table end with tabs: the name of a link may hold what Unicode calls a blank.
    """
    try:
        subnet = IPv4Interface(values.get(_SUBNET, "")).network
        text = _ROUTES.read_text(errors="backslashreplace") if routes is None else routes
    except (ValueError, OSError):
        return ""
    for line in text.split("\n")[1:]:
        link, destination, gateway, *rest = [*line.split("\t"), "", ""]
        with suppress(ValueError, IndexError, OSError, struct.error):  # a line of another form names no route
            if gateway != "00000000" and _network(destination, rest[4]) == subnet:
                return f"{subnet} via {_address(gateway)} dev {link}"
    return ""


def _options(values: Mapping[str, str], form: Form) -> dict[str, str]:
    found = {name: value for name, value in values.items() if name.startswith(_PREFIX)}
    if subnet := values.get(_SUBNET):
        found[f"{_PREFIX}BIP"] = (
            f"--bip={_typed(_SUBNET, subnet, _interface, 'an address with its prefix length')}"
        )
    if mtu := values.get(_MTU):
        found[f"{_PREFIX}MTU"] = f"--mtu={_typed(_MTU, mtu, _mtu, f'a number up to {_LARGEST_MTU}')}"
    masquerade = values.get(_MASQUERADE, "")
    if masquerade and form.masquerade:
        opposite = {"true": "false", "false": "true"}.get(masquerade)
        if opposite is None:
            raise DockerError(
                f"Invalid value of {_MASQUERADE}: {on_one_line(masquerade)[:80]}; it must be true or false"
            )
        found[f"{_PREFIX}IPMASQ"] = f"--ip-masq={opposite}"
    return dict(sorted(found.items()))


def _typed(name: str, text: str, kind: Callable[[str], object], wanted: str) -> str:
    """The value in the spelling of its type, which holds no other words. Raises DockerError."""
    try:
        return str(kind(text))
    except ValueError as cause:
        raise DockerError(f"{name} is {text[:80]!r}: it must be {wanted}") from cause


def _interface(text: str) -> IPv4Interface:
    if "/" not in text:
        raise ValueError("no prefix length")
    return IPv4Interface(text)


def _mtu(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text, re.ASCII) or int(text) > _LARGEST_MTU:
        raise ValueError("out of range")
    return int(text)


def _assignments(line: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return
    for word in words:
        name, equals, value = word.partition("=")
        if equals and _NAME.fullmatch(name):
            yield name, value


def _network(destination: str, mask: str) -> IPv4Network:
    return IPv4Network((_address(destination), _address(mask)))


def _address(text: str) -> str:
    """An address of /proc/net/route: hexadecimal, in the host's byte order."""
    return socket.inet_ntoa(struct.pack("=I", int(text, 16)))
