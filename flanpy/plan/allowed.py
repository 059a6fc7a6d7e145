"""The networks a host accepts: the network config is in etcd, where every writer could claim any range.

Owns the refusal of a network outside the ranges that this host allows. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from flanpy.errors import ConfigError
from flanpy.model.address import IPNetwork, is_within
from flanpy.model.border import PRIVATE
from flanpy.model.encryption import ENCRYPTING, Encryption
from flanpy.model.network.fields import PACKETLESS
from flanpy.model.network.network import NetworkConfig

_NEVER_UNNAMED: tuple[IPNetwork, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("224.0.0.0/3"),
    IPv6Network("::/8"),
    IPv6Network("fe80::/10"),
    IPv6Network("ff00::/8"),
)
"""This host, this link, groups: no overlay is there, and a network that holds one of these holds far too much."""

_WIDEST = {4: 8, 6: 16}
"""Prefix lengths of the largest network that is believed at first sight: flannel's documentation has a /8."""


def ranges(network: NetworkConfig) -> tuple[IPNetwork, ...]:
    """Return the ranges of a network config, IPv4 first."""
    return tuple(one for one in (network.network, network.network6) if one is not None)


def believed(network: NetworkConfig) -> tuple[IPNetwork, ...]:
    """Return the ranges that a host without known ranges accepts from the first config it sees."""
    return tuple(one for one in ranges(network) if _may_be_believed(one))


def refuse_outside(
    network: NetworkConfig, allowed: tuple[IPNetwork, ...], first: tuple[IPNetwork, ...] = ()
) -> None:
    """Raise ConfigError for a range outside `allowed` (the operator's; empty: private ranges, and `first` as well)."""
    fields = ("Network", network.network), ("IPv6Network", network.network6)
    for name, range_ in fields:
        if range_ is not None and not _within(range_, allowed or (*PRIVATE, *first)):
            raise ConfigError(
                f"{name} of the network config is {range_}, which this host does not allow ({_names(allowed, first)}):"
                f" correct it with flanpyctl network set, or if it is meant set allowed-network to {range_}"
            )


def refuse_in_clear(network: NetworkConfig, encryption: Encryption) -> None:
    """Raise ConfigError for a backend whose packets are in clear, on a host that requires them encrypted."""
    if encryption is Encryption.REQUIRED and network.backend_type not in {ENCRYPTING, *PACKETLESS}:
        raise ConfigError(
            f"Backend.Type of the network config is {network.backend_type}, which sends in clear, and this host has"
            " encryption=required: flanpyctl network set --encrypt, or set encryption to on or off here"
        )


def _within(range_: IPNetwork, allowed: Iterable[IPNetwork]) -> bool:
    return any(is_within(range_, one) for one in allowed)


def _names(allowed: tuple[IPNetwork, ...], first: tuple[IPNetwork, ...]) -> str:
    if allowed:
        return f"allowed-network is {', '.join(map(str, allowed))}"
    more = f", and {', '.join(map(str, first))} of its first config" if first else ""
    return f"without allowed-network these are the private ranges of RFC 1918, 6598 and 4193{more}"


def _may_be_believed(range_: IPNetwork) -> bool:
    special = any(range_.version == one.version and range_.overlaps(one) for one in _NEVER_UNNAMED)
    return not special and range_.prefixlen >= _WIDEST[range_.version]
