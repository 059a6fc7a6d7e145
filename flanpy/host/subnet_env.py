"""subnet.env: the overlay's values for Docker and scripts on this host, byte for byte as flannel writes it.

Owns the format both ways. FLANNEL_SUBNET is the subnet's *first host* (base + 1), which Docker gives to its bridge.
The reader is tolerant, as its one use is to find the subnet this host had before, in a file that a person or an older
program may have written.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Final

from flanpy.files import atomic
from flanpy.host.absent import Absent
from flanpy.printable import on_one_line

_LARGEST: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetEnv:
    """The overlay as this host sees it. Subnets are the networks themselves, not the first host in them."""

    network: IPv4Network | None
    subnet: IPv4Network | None
    ipv6_network: IPv6Network | None = None
    ipv6_subnet: IPv6Network | None = None
    mtu: int = 0
    ipmasq: bool = False

    def __str__(self) -> str:
        """Return the file's text. A family that is off has no lines."""
        return "".join(f"{name}={value}\n" for name, value in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        if self.network is not None and self.subnet is not None:
            yield "FLANNEL_NETWORK", str(self.network)
            yield "FLANNEL_SUBNET", f"{self.subnet.network_address + 1}/{self.subnet.prefixlen}"
        if self.ipv6_network is not None and self.ipv6_subnet is not None:
            yield "FLANNEL_IPV6_NETWORK", str(self.ipv6_network)
            yield (
                "FLANNEL_IPV6_SUBNET",
                f"{self.ipv6_subnet.network_address + 1}/{self.ipv6_subnet.prefixlen}",
            )
        yield "FLANNEL_MTU", str(self.mtu)
        yield "FLANNEL_IPMASQ", str(self.ipmasq).lower()


def write(path: Path, env: SubnetEnv) -> bool:
    """Write the file if it differs, see `atomic.write`. Raises HostError."""
    return atomic.write(path, str(env).encode())


def read(path: Path) -> SubnetEnv | Absent:
    """Read the file at `path`; any fault in it makes it absent."""
    try:
        return parse(atomic.read(path, _LARGEST).decode(errors="replace"))
    except FileNotFoundError:
        return Absent()
    except OSError as cause:
        return Absent(f"cannot read '{path}': {cause.strerror}")


def parse(text: str) -> SubnetEnv | Absent:
    """Read `NAME=value` lines, with `export`, quotes and comments allowed; at least one family must be complete."""
    values = dict(_assignments(text))
    try:
        env = SubnetEnv(
            network=_network4(values, "FLANNEL_NETWORK"),
            subnet=_network4(values, "FLANNEL_SUBNET"),
            ipv6_network=_network6(values, "FLANNEL_IPV6_NETWORK"),
            ipv6_subnet=_network6(values, "FLANNEL_IPV6_SUBNET"),
            mtu=int(values.get("FLANNEL_MTU", "") or 0),
            ipmasq=values.get("FLANNEL_IPMASQ", "").lower() in {"true", "1", "t"},
        )
    except ValueError as cause:
        return Absent(f"subnet file has a value that cannot be used: {on_one_line(str(cause))[:200]}")
    if (env.network is None or env.subnet is None) and (env.ipv6_network is None or env.ipv6_subnet is None):
        return Absent("subnet file names no network and subnet")
    return env


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # an unclosed quote: junk, like any other line that assigns nothing
            continue
        for word in words:
            name, equals, value = word.partition("=")
            if equals and name.startswith("FLANNEL_"):
                yield name, value


def _network4(values: Mapping[str, str], name: str) -> IPv4Network | None:
    return IPv4Interface(values[name]).network if values.get(name) else None


def _network6(values: Mapping[str, str], name: str) -> IPv6Network | None:
    return IPv6Interface(values[name]).network if values.get(name) else None
