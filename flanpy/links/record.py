"""The links that were asked for, on disk, and the addresses of the next one.

Owns `links.json` in a directory of root's: who writes to it says what root does in the namespaces of containers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path
from typing import Any, Final

from flanpy.docker.turn import DIRECTORY
from flanpy.errors import MALFORMED, ConfigError, HostError
from flanpy.files import atomic
from flanpy.model.address import IPAddress
from flanpy.model.quoting import quoted

FILE_NAME: Final = "links.json"

POOL: Final = IPv4Network("169.254.128.0/19")
"""Addresses of links for which none are asked: never routed (RFC 3927), and apart from the services of clouds."""

_LARGEST: Final = 1 << 22
_ID: Final = re.compile("[0-9a-f]{12,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """One end: the container's id, its name when the link was made, and its address."""

    id: str
    name: str
    address: IPAddress

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ConfigError(f"{quoted(self.id)} is no id of a container")


@dataclass(frozen=True, slots=True)
class ContainerLink:
    """A link of two containers. Its device has the same name in both."""

    first: LinkEnd
    second: LinkEnd

    @property
    def ends(self) -> tuple[LinkEnd, LinkEnd]:
        return (self.first, self.second)

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(end.id for end in self.ends)

    @property
    def device(self) -> str:
        """Return the name of the devices: of 15 characters at most, and the same after each restart."""
        return f"fl-{sha256('/'.join(sorted(self.ids)).encode()).hexdigest()[:8]}"

    def facing(self, end: LinkEnd) -> LinkEnd:
        """Return the other end."""
        return self.second if end is self.first else self.first

    def __str__(self) -> str:
        """Return it for people."""
        return f"'{self.first.name}' and '{self.second.name}'"


def load(directory: Path = DIRECTORY) -> tuple[ContainerLink, ...]:
    """Read the links. Raises HostError for a file that cannot be read: it is root's, and nothing is guessed."""
    path = directory / FILE_NAME
    try:
        found = json.loads(atomic.read(path, _LARGEST))
        return tuple(ContainerLink(_end(one["First"]), _end(one["Second"])) for one in found["Links"])
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise atomic.host_error("read", path, error) from error
    except (ConfigError, *MALFORMED) as error:
        raise HostError(f"'{path}' is no list of links ({error}): correct it, or remove it") from error


def save(links: Iterable[ContainerLink], directory: Path = DIRECTORY) -> None:
    """Write the links; without any the file goes, and the unit that watches for it ends. Raises HostError."""
    path = directory / FILE_NAME
    document = {"Links": [{"First": _document(one.first), "Second": _document(one.second)} for one in links]}
    if document["Links"]:
        atomic.write(path, json.dumps(document, indent=1).encode() + b"\n")
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise atomic.host_error("remove", path, error) from error


def free_pair(links: Iterable[ContainerLink]) -> tuple[IPv4Address, IPv4Address]:
    """Return two addresses of the pool that no link has. Raises HostError when all are in use."""
    taken = {end.address for link in links for end in link.ends}
    for pair in _pairs():
        if not taken.intersection(pair):
            return pair
    raise HostError(f"no addresses of {POOL} are free for a link: give some with --addresses")


def _pairs() -> Iterator[tuple[IPv4Address, IPv4Address]]:
    for number in range(int(POOL.network_address) + 2, int(POOL.broadcast_address) - 2, 2):
        yield IPv4Address(number), IPv4Address(number + 1)


def _document(end: LinkEnd) -> dict[str, str]:
    return {"ID": end.id, "Name": end.name, "Address": str(end.address)}


def _end(document: dict[str, Any]) -> LinkEnd:
    return LinkEnd(str(document["ID"]), str(document["Name"]), ip_address(document["Address"]))
