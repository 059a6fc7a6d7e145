"""The definition of a named network, and the text of it in etcd.

Owns which values can be used: what Docker, the kernel and the division into slices allow. A definition in etcd passes
the same checks as one from the command line, as every writer of etcd could have put it there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, NoReturn

from flanpy.errors import MALFORMED, ConfigError
from flanpy.model.networks.links import NetworkLink, links_field, read_links
from flanpy.model.networks.membership import is_entry
from flanpy.model.quoting import quoted

NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}", re.ASCII)
"""The names that Docker takes for containers and resolves as `container.network`, as long as a DNS label."""

RESERVED: Final = frozenset(
    {"bridge", "host", "none", "default", "null", "ingress", "docker_gwbridge", "flanpy"}
)
"""Networks of Docker's own, and the one of network mode."""

FIRST_VNI, LAST_VNI = 10_001, (1 << 24) - 1
"""VNIs that are given out. Below are those that people write into a network config."""

_KEPT: Final = 2
"""Addresses of a slice that no container gets: the first, and Docker's gateway."""

_LAST_PORT: Final = 65_535
USUAL_MTU: Final = 1450
_LEAST_MTU, _LEAST_MTU6, _MOST_MTU = 576, 1280, 65_485
_WIDEST, _NARROWEST_SLICE = 8, 29
_MOST_SLICES_BITS: Final = 12
_WIDEST6, _NARROWEST_SLICE6 = 16, 112
_MOST_HOSTS: Final = 1000
_LARGEST: Final = 64 << 10

_NEVER6: Final = tuple(map(IPv6Network, ("::/8", "fe80::/10", "ff00::/8")))
_NEVER: Final = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedNetwork:
    """A named network. Each host has a slice of `subnet` with `slice_len` bits of prefix.

    `id` tells it from an earlier network of the same name. `mtu` is that of containers in bytes: layer 2 has no path
    MTU discovery, so all hosts have the same. `internal`: containers reach nothing outside. `created` is for people.
    `subnet6` is divided as `subnet` is: the slice of a host has the same place in both. `hosts` says who is on it
    (`membership`), all without. `port` is the UDP port between hosts; 0, in definitions without one, is that of the
    overlay's vxlan backend.
    """

    name: str
    id: str
    subnet: IPv4Network
    slice_len: int
    vni: int
    mtu: int = USUAL_MTU
    internal: bool = False
    created: str = ""
    subnet6: IPv6Network | None = None
    hosts: tuple[str, ...] = ()
    links: tuple[NetworkLink, ...] = ()
    port: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for values that Docker or the kernel cannot take."""
        _check_name(self.name)
        _check_subnet(self.subnet)
        _check_slices(self.subnet, self.slice_len)
        if not 1 <= self.vni <= LAST_VNI:
            _refuse("VNI", self.vni, f"must be from 1 to {LAST_VNI}")
        if not 0 <= self.port <= _LAST_PORT:
            _refuse("port", self.port, f"must be from 1 to {_LAST_PORT}")
        if not _LEAST_MTU <= self.mtu <= _MOST_MTU:
            _refuse("MTU", self.mtu, f"must be from {_LEAST_MTU} to {_MOST_MTU} bytes")
        if self.subnet6 is not None:
            _check_subnet6(self.subnet6, self.slice_len - self.subnet.prefixlen, self.mtu)
        _check_hosts(self.hosts)

    @property
    def slices(self) -> int:
        """Return the number of hosts that the subnet has room for."""
        return 1 << (self.slice_len - self.subnet.prefixlen)

    def room(self, slice_: IPv4Network) -> int:
        """Return the number of addresses of a slice that containers can have."""
        last = slice_.broadcast_address == self.subnet.broadcast_address
        return slice_.num_addresses - _KEPT - last

    def slice6(self, slice_: IPv4Network) -> IPv6Network | None:
        """Return the IPv6 slice that goes with an IPv4 slice, None without IPv6."""
        if self.subnet6 is None:
            return None
        place = (int(slice_.network_address) - int(self.subnet.network_address)) >> (32 - self.slice_len)
        length = self.subnet6.prefixlen + self.slice_len - self.subnet.prefixlen
        return IPv6Network((int(self.subnet6.network_address) + (place << (128 - length)), length))


def usual_slice_len(subnet: IPv4Network) -> int:
    """Return the prefix length of slices where none is asked for: /24, smaller ones in a small subnet."""
    if subnet.prefixlen <= 20:
        return 24
    return min(subnet.prefixlen + 4, _NARROWEST_SLICE)


def parse_subnet(text: str) -> IPv4Network:
    """Read the subnet of a network. Raises ConfigError."""
    try:
        found = ip_network(text)
    except ValueError as error:
        raise ConfigError(f"subnet {quoted(text)} of the network: {error}; write 10.96.0.0/16") from error
    if not isinstance(found, IPv4Network):
        _refuse("subnet", text, "is no IPv4 range; write 10.96.0.0/16")
    return found


def parse_subnet6(text: str) -> IPv6Network:
    """Read the IPv6 subnet of a network. Raises ConfigError."""
    try:
        found = ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"IPv6 subnet {quoted(text)} of the network: {error}; write fd00:96::/64"
        ) from error
    if not isinstance(found, IPv6Network):
        _refuse("IPv6 subnet", text, "is no IPv6 range; write fd00:96::/64")
    return found


def definition_fields(network: NamedNetwork) -> dict[str, Any]:
    """Return the fields of a definition as they stand in etcd; the name is in the key."""
    return {
        "ID": network.id,
        "Subnet": str(network.subnet),
        "SliceLen": network.slice_len,
        "VNI": network.vni,
        "MTU": network.mtu,
        "Internal": network.internal,
        "Created": network.created,
        **({"Port": network.port} if network.port else {}),
        **({"IPv6Subnet": str(network.subnet6)} if network.subnet6 is not None else {}),
        **({"Hosts": list(network.hosts)} if network.hosts else {}),
        **({"Links": links_field(network.links)} if network.links else {}),
    }


def render_definition(network: NamedNetwork) -> bytes:
    """Return the value of a definition's key."""
    return json.dumps(definition_fields(network), separators=(",", ":")).encode()


def parse_definition(name: str, value: bytes) -> NamedNetwork:
    """Read a definition as it stands in etcd. Raises ConfigError of one line, whatever the bytes are."""
    try:
        if len(value) > _LARGEST:
            raise ValueError(f"{len(value)} bytes are more than the {_LARGEST} of a definition")
        found: dict[str, Any] = json.loads(value)
        subnet6 = _typed(found, "IPv6Subnet", str, "")
        network = NamedNetwork(
            name=name,
            id=_typed(found, "ID", str, ""),
            subnet=parse_subnet(_typed(found, "Subnet", str, "")),
            slice_len=_typed(found, "SliceLen", int, 0),
            vni=_typed(found, "VNI", int, 0),
            mtu=_typed(found, "MTU", int, USUAL_MTU),
            port=_typed(found, "Port", int, 0),
            internal=_typed(found, "Internal", bool, False),
            created=_typed(found, "Created", str, ""),
            subnet6=parse_subnet6(subnet6) if subnet6 else None,
            hosts=tuple(map(str, _typed(found, "Hosts", list, []))),
            links=read_links(_typed(found, "Links", list, [])),
        )
    except MALFORMED as error:
        raise ConfigError(
            f"definition of network {quoted(name)} cannot be read: {quoted(str(error))}"
        ) from error
    if not network.id or len(network.id) > 64 or not network.id.isprintable():
        _refuse("ID", network.id, "is no identity of a network: printable, 1 to 64 characters")
    return network


def _typed(found: dict[str, Any], field: str, kind: type, missing: Any) -> Any:
    value = found.get(field, missing)
    if type(value) is not kind:
        raise ValueError(f"{field} {quoted(value)} is no {kind.__name__}")
    return value


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        _refuse(
            "name", name, "is none that Docker takes: 1 to 63 letters, digits, '_', '.', '-', no sign first"
        )
    if name in RESERVED:
        _refuse("name", name, "is Docker's own or flanpy's; choose another")


def _check_subnet(subnet: IPv4Network) -> None:
    if subnet.prefixlen < _WIDEST:
        _refuse("subnet", str(subnet), f"is wider than a /{_WIDEST}; choose a smaller one")
    if any(subnet.overlaps(one) for one in _NEVER):
        _refuse("subnet", str(subnet), "holds addresses that no container may have; choose a private range")


def _check_slices(subnet: IPv4Network, length: int) -> None:
    if not subnet.prefixlen < length <= _NARROWEST_SLICE:
        _refuse(
            "slice size",
            length,
            f"must be longer than /{subnet.prefixlen} of {subnet}, at most /{_NARROWEST_SLICE}",
        )
    if length - subnet.prefixlen > _MOST_SLICES_BITS:
        least = subnet.prefixlen + _MOST_SLICES_BITS
        _refuse(
            "slice size",
            length,
            f"makes more than {1 << _MOST_SLICES_BITS} slices of {subnet}; at most /{least}",
        )


def _check_subnet6(subnet: IPv6Network, bits: int, mtu: int) -> None:
    if subnet.prefixlen < _WIDEST6 or subnet.prefixlen + bits > _NARROWEST_SLICE6:
        most = _NARROWEST_SLICE6 - bits
        _refuse(
            "IPv6 subnet", str(subnet), f"must be from /{_WIDEST6} to /{most} for slices like those of IPv4"
        )
    if any(subnet.overlaps(one) for one in _NEVER6):
        _refuse(
            "IPv6 subnet", str(subnet), "holds addresses that no container may have; choose one in fd00::/8"
        )
    if mtu < _LEAST_MTU6:
        _refuse("MTU", mtu, f"must be {_LEAST_MTU6} bytes or more with IPv6")


def _check_hosts(hosts: tuple[str, ...]) -> None:
    if len(hosts) > _MOST_HOSTS:
        _refuse("list of hosts", len(hosts), f"has more than {_MOST_HOSTS} entries: choose hosts by a label")
    for one in hosts:
        if not is_entry(one):
            _refuse("host", one, "is no label, host name or node id: letters, digits, '.', '_', '-'")


def _refuse(field: str, value: object, reason: str) -> NoReturn:
    raise ConfigError(f"{field} {quoted(value)} of the network {reason}")
