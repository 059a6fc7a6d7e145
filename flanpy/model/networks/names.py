"""The names of containers: what one host tells of one network. Pure values.

A flat network of the overlay stands beside the named ones as `FLAT`, a name that no named network can have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from sys import intern
from typing import Any, Final

from flanpy.model.address import IPAddress, Mac

FLAT: Final = "flanpy"
"""The network of the overlay's own subnets; `RESERVED` keeps the name from named ones."""

ZONE: Final = "flanpy.internal"
"""The zone of whole names. `internal` is reserved for private use (ICANN, 2024)."""

LONGEST_NAME: Final = 253 - len(f".{ZONE}")
"""Characters of a name that a question can still ask for with the zone (RFC 1035, 2.3.4)."""

LONGEST_LABEL: Final = 63
_LONGEST_WORD: Final = 255
_LATEST_MS: Final = 1 << 48
"""A time beyond which none is one; far enough for every clock, and small in memory."""
MOST_ALIASES: Final = 32
MOST_ADDRESSES: Final = 8
MOST_CONTAINERS: Final = 4096
"""Containers of one host on one network; further ones are not told of."""


@dataclass(frozen=True, slots=True)
class NamedContainer:
    """A running container on one network: its name, its addresses there, and the further names it has there.

    `created` is when Docker made it, in ms of its host's clock; 0 where a host of before does not tell.
    """

    name: str
    addresses: tuple[IPAddress, ...]
    aliases: tuple[str, ...] = ()
    mac: Mac | None = None
    created: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Return all its names, the container's own first."""
        return (self.name, *self.aliases)


def containers_as_json(containers: Iterable[NamedContainer]) -> list[list[Any]]:
    """Return the containers as they stand in etcd and in files: a list of name, addresses, aliases and MAC for each."""
    return [
        [one.name, [str(address) for address in one.addresses], [*one.aliases], str(one.mac or "")]
        for one in containers
    ]


def creation_as_json(containers: Iterable[NamedContainer]) -> list[int]:
    """Return when each was created. Beside the containers: a version of before reads those without it."""
    return [one.created for one in containers]


def read_containers(found: Any, created: Any = ()) -> tuple[NamedContainer, ...]:
    """Read what `containers_as_json` and `creation_as_json` wrote; raises one of `errors.MALFORMED` for anything else.

    Times that are missing or are none are unknown.
    """
    if not isinstance(found, list):
        raise TypeError("the containers are no list")
    times = created if isinstance(created, list) and len(created) == len(found) else [0] * len(found)
    return tuple(
        _container(*one, time=time) for one, time in zip(found[:MOST_CONTAINERS], times, strict=False)
    )


def _container(name: Any, addresses: Any, aliases: Any, mac: Any = "", *, time: Any) -> NamedContainer:
    return NamedContainer(
        _word(name),
        tuple(ip_address(_word(one)) for one in addresses[:MOST_ADDRESSES]),
        tuple(intern(_word(one)) for one in aliases[:MOST_ALIASES]),  # a service has one on each host
        Mac.parse(_word(mac)) if mac else None,
        time if type(time) is int and 0 < time <= _LATEST_MS else 0,
    )


def _word(found: Any) -> str:
    if not isinstance(found, str) or len(found) > _LONGEST_WORD or not found.isprintable():
        raise ValueError("a name or an address of a container is none")
    return found


@dataclass(frozen=True, slots=True)
class ToldNames:
    """The containers of one host on one network. `host` is the host's name, for `NAME.HOST.flanpy.internal`."""

    network: str
    node_id: str
    host: str = ""
    containers: tuple[NamedContainer, ...] = ()


def is_askable(name: str) -> bool:
    """Report whether a question can ask for the name: Docker allows longer ones, which DNS has no room for."""
    if not name or len(name) > LONGEST_NAME or not name.isascii() or not name.isprintable():
        return False
    return all(0 < len(label) <= LONGEST_LABEL for label in name.split("."))


@dataclass(frozen=True, slots=True)
class SharedAddress:
    """An address (IPv4, IPv6 or MAC) of a network that several containers have.

    `holders` are node id, host name and container of each, this host's first.
    """

    network: str
    address: str
    holders: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class NamesStatus:
    """The state of the names on this host. Texts are one line for people, "" for nothing to say.

    `listen` is the resolver's address; `error` says why it does not listen. `told`: root's side tells of Docker's
    containers. `stale`: names of other hosts are those last heard. `servers` are the host's own, for all other names.
    """

    listen: str
    error: str = ""
    told: bool = False
    stale: bool = True
    servers: tuple[str, ...] = ()
