"""The checks of `flanpyctl network init` and `set` before a network is written.

They tell whether hosts will obey the network, and which ranges of the hosts it contains. Sends nothing but a look-up
of etcd's name.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.config import Settings
from flanpy.config.etcd import session_settings
from flanpy.errors import ConfigError
from flanpy.model.address import IPAddress
from flanpy.model.network.network import NetworkConfig
from flanpy.plan.allowed import ranges, refuse_outside
from flanpy.store.session.settings import parse_endpoints


def refuse_disallowed(config: NetworkConfig, settings: Settings) -> None:
    """REFUSED for a network that hosts with these settings do not obey."""
    try:
        refuse_outside(config, settings.allowed_network)
    except ConfigError as error:
        raise CommandError(Exit.REFUSED, f"{error}; --force writes it all the same") from error


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
    for endpoint in parse_endpoints(session_settings(settings.etcd)):
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
