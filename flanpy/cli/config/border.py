"""The checks of `flanpyctl network init` and `set` before a network is written.

They tell whether hosts will obey the network, and which ranges of the hosts it contains. Sends nothing but a look-up
of etcd's name.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.config import Settings
from flanpy.config.etcd import store_settings
from flanpy.doctor.packets import OUR_PROTO
from flanpy.errors import ConfigError, FlanpyError
from flanpy.host import subnet_env
from flanpy.host.absent import Absent
from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.encryption import Encryption
from flanpy.model.network.network import NetworkConfig
from flanpy.plan.allowed import ranges, refuse_in_clear, refuse_outside
from flanpy.store.session.settings import parse_endpoints

_OURS: Final = ("flannel", "flanpy")
"""The first letters of the overlay's links, ours and flannel's."""


def refuse_disallowed(config: NetworkConfig, settings: Settings) -> None:
    """REFUSED for a network that hosts with these settings do not obey."""
    try:
        refuse_outside(config, settings.allowed_network)
        refuse_in_clear(config, Encryption(settings.encryption))
    except ConfigError as error:
        raise CommandError(Exit.REFUSED, f"{error}; --force writes it all the same") from error


def refuse_used(config: NetworkConfig, subnet_file: Path) -> None:
    """REFUSED for a network whose subnets would hold an address of this host, or a range that it has a route to."""
    taken = next((what for what, there in _used(subnet_file) if _would_be_leased(config, there)), "")
    if taken:
        raise CommandError(
            Exit.REFUSED,
            f"network {' and '.join(map(str, ranges(config)))} overlaps what this host uses: {taken}; choose a range"
            " that is used nowhere, or bounds (SubnetMin, SubnetMax) beside it; --force writes it all the same",
        )


def _used(subnet_file: Path) -> Iterator[tuple[str, IPNetwork]]:
    """Yield this host's addresses and routes that are not the overlay's own; none where they cannot be read."""
    from flanpy.doctor.host import routes
    from flanpy.trace.iproute import addresses

    env = subnet_env.read(subnet_file)
    own: tuple[IPNetwork, ...] = ()
    if not isinstance(env, Absent):
        own = tuple(net for net in (env.subnet, env.ipv6_subnet) if net is not None)
    with suppress(FlanpyError):
        links = addresses()
        ours = {
            link
            for ip, link in links.items()
            if link.startswith(_OURS) or any(_holds(net, ip) for net in own)
        }
        for address, link in links.items():
            if link not in ours and not address.is_loopback and not address.is_link_local:
                yield f"{link} has {address}", ip_network(address)
        for route in routes():
            is_ours = route.link in ours or route.link.startswith(_OURS) or route.proto in OUR_PROTO
            if not is_ours and route.kind == "unicast" and route.destination.prefixlen:
                yield f"route {route.text or route.destination}", route.destination


def _holds(network: IPNetwork, address: IPAddress) -> bool:
    return network.version == address.version and address in network


def _would_be_leased(config: NetworkConfig, there: IPNetwork) -> bool:
    """Report whether hosts would lease a subnet that shares an address with this range."""
    parts: dict[int, tuple[IPNetwork | None, IPAddress | None, IPAddress | None, int]] = {
        4: (config.network, config.subnet_min, config.subnet_max, config.subnet_len),
        6: (config.network6, config.subnet_min6, config.subnet_max6, config.subnet_len6),
    }
    network, first, last, bits = parts[there.version]
    if network is None or first is None or last is None:
        return False
    end = int(last) + (1 << (network.max_prefixlen - bits))
    return int(there.network_address) < end and int(there.broadcast_address) >= int(first)


def warnings(config: NetworkConfig, settings: Settings) -> Iterator[str]:
    """One line for each address of this host or of etcd that the network contains."""
    bounds = {4: (config.subnet_min, config.subnet_max), 6: (config.subnet_min6, config.subnet_max6)}
    for what, address in _underlay(settings):
        for range_ in ranges(config):
            if address.version != range_.version or address not in range_:
                continue
            first, last = bounds[range_.version]
            yield (
                f"network {range_} contains {what} {address}: hosts lease from {first} to {last}, so choose SubnetMin"
                " and SubnetMax such that no host, gateway or server has an address there; a lease that holds one is"
                " refused"
            )


def _underlay(settings: Settings) -> Iterator[tuple[str, IPAddress]]:
    """Etcd's addresses, and this host's own on the way there."""
    seen: set[IPAddress] = set()
    for endpoint in parse_endpoints(store_settings(settings)):
        with suppress(OSError, UnicodeError):
            for family, kind, _, _, there in socket.getaddrinfo(
                endpoint.host, endpoint.port, type=socket.SOCK_DGRAM
            ):
                with socket.socket(family, kind) as way:
                    way.connect(there)  # of a datagram socket: the kernel chooses the way, nothing is sent
                    found = (
                        ("etcd's address", str(there[0])),
                        ("this host's address", way.getsockname()[0]),
                    )
                for what, text in found:
                    address = ip_address(text.partition("%")[0])
                    if address not in seen and not address.is_loopback:
                        seen.add(address)
                        yield what, address
