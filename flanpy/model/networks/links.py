"""Links of named networks: two that are otherwise apart may talk, all of it or by some ports. Pure values.

A link stands in the definition of one of the two and names the other by its id, so that a network which is removed and
made again under the same name is linked to none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from flanpy.errors import ConfigError
from flanpy.model.quoting import quoted

_TEXT: Final = re.compile(r"([0-9]{1,5})(?:/(tcp|udp))?", re.ASCII)
_MOST_PORTS: Final = 64


class Protocol(Enum):
    """The protocol of a port. The value is the word for people, etcd and the packet filter."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class LinkPort:
    """A port that servers of either network listen at."""

    number: int
    protocol: Protocol = Protocol.TCP

    def __str__(self) -> str:
        """Return it as Docker writes published ports: `5432/tcp`."""
        return f"{self.number}/{self.protocol.value}"


@dataclass(frozen=True, slots=True)
class NetworkLink:
    """The network with `id` may talk with the one that this stands in; `ports` () are all, and all protocols."""

    id: str
    ports: tuple[LinkPort, ...] = ()


def parse_port(text: str) -> LinkPort:
    """Read `5432`, `5432/tcp` or `53/udp`. Raises ConfigError."""
    found = _TEXT.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ConfigError(f"port {quoted(text)} is none: write 5432, 5432/tcp or 53/udp")
    return LinkPort(int(found[1]), Protocol(found[2] or "tcp"))


def parse_ports(texts: Iterable[str]) -> tuple[LinkPort, ...]:
    """Read ports, each once and in order. Raises ConfigError."""
    found = {parse_port(text) for text in texts}
    if len(found) > _MOST_PORTS:
        raise ConfigError(
            f"{len(found)} ports are more than the {_MOST_PORTS} of a link: leave --port out for all"
        )
    return tuple(sorted(found, key=lambda one: (one.number, one.protocol.value)))


def links_field(links: Iterable[NetworkLink]) -> list[dict[str, Any]]:
    """Return the links as they stand in a definition in etcd."""
    return [{"ID": link.id, "Ports": [str(port) for port in link.ports]} for link in links]


def read_links(found: list[Any]) -> tuple[NetworkLink, ...]:
    """Read the links of a definition. Raises ConfigError, or what `errors.MALFORMED` lists."""
    links = tuple(NetworkLink(str(one["ID"]), parse_ports(map(str, one["Ports"]))) for one in found)
    if len({link.id for link in links}) < len(links):
        raise ConfigError("a network is linked twice with the same one")
    return links
