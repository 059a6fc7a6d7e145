"""Option files for hosts that start Docker with an environment file, as flannel's mk-docker-opts writes them.

Owns the rules of that file: variables DOCKER_OPT_* in the order of their names, each as a line of its own and all in
one line, after what the combined variable held in the environment. Written anew from the behaviour of flannel v0.28.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final

from flanpy.errors import DockerError

DEFAULT_SUBNET_FILE: Final = Path("/run/flannel/subnet.env")
DEFAULT_OUTPUT: Final = Path("/run/docker_opts.env")
DEFAULT_KEY: Final = "DOCKER_OPTS"

_PREFIX: Final = "DOCKER_OPT_"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROUTES: Final = Path("/proc/net/route")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the file is to hold. Neither `single` nor `combined` means both, as in flannel."""

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


def values_of(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, and over it what a shell would learn from `path`, which may be missing. Raises DockerError."""
    values = dict(environ)
    try:
        content = path.read_text(errors="replace") if path.is_file() else ""
    except OSError as cause:
        raise DockerError(f"cannot read '{path}': {cause.strerror}; run as root") from cause
    for line in content.splitlines():
        values.update(_assignments(line))
    return values


def write(path: Path, content: str) -> None:
    """Replace the file in one step; a device or a pipe is written to. Raises DockerError."""
    try:
        if path.exists() and not path.is_file():
            path.write_text(content)
            return
        target = path.resolve()
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(content)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as cause:
        raise DockerError(f"cannot write '{path}': {cause.strerror}; name another file with -d") from cause


def foreign_route(values: Mapping[str, str], routes: str | None = None) -> str:
    """A route to the subnet through a gateway, which would take its packets away; '' if there is none."""
    try:
        subnet = IPv4Interface(values.get("FLANNEL_SUBNET", "")).network
        lines = (_ROUTES.read_text() if routes is None else routes).splitlines()[1:]
    except (ValueError, OSError):
        return ""
    for link, destination, gateway, *_rest in (line.split() for line in lines if line.strip()):
        mask = _rest[4]
        if gateway != "00000000" and _network(destination, mask) == subnet:
            return f"{subnet} via {_address(gateway)} dev {link}"
    return ""


def _options(values: Mapping[str, str], form: Form) -> dict[str, str]:
    found = {name: value for name, value in values.items() if name.startswith(_PREFIX)}
    if subnet := values.get("FLANNEL_SUBNET"):
        found[f"{_PREFIX}BIP"] = f"--bip={subnet}"
    if mtu := values.get("FLANNEL_MTU"):
        found[f"{_PREFIX}MTU"] = f"--mtu={mtu}"
    masquerade = values.get("FLANNEL_IPMASQ", "")
    if masquerade and form.masquerade:
        opposite = {"true": "false", "false": "true"}.get(masquerade)
        if opposite is None:
            raise DockerError(f"Invalid value of FLANNEL_IPMASQ: {masquerade}; it must be true or false")
        found[f"{_PREFIX}IPMASQ"] = f"--ip-masq={opposite}"
    return dict(sorted(found.items()))


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
