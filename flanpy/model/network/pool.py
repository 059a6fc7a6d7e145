"""One family's pool in a network config: its range, the length of a host's subnet, and the bounds of leasing.

Owns flannel's rules on how these fit together, with its defaults. Raises a ConfigError that names the field, its value,
the rule and the nearest value that would do.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.network.values import Rules, Values, refuse


@dataclass(frozen=True, slots=True)
class Pool:
    """One family's range, and the first and last subnet base in it."""

    network: IPNetwork
    length: int
    first: IPAddress
    last: IPAddress


def pool_of(values: Values, rules: Rules) -> Pool:
    """This family's pool, with what was not given as flannel has it by default; raises ConfigError."""
    network = values.network(rules)
    length = _length(values.length(rules), network, rules)
    size = 1 << (rules.family.bits - length)
    base = int(network.network_address)
    end = base + network.num_addresses - size
    # The network's first subnet is left out: its base is the network's own address, which must not sit on a link.
    first = _bound(values, rules, "SubnetMin", network, length) or _like(network, base + size)
    last = _bound(values, rules, "SubnetMax", network, length) or _like(network, end)
    if int(first) > int(last):
        refuse(
            rules.name("SubnetMin"),
            str(first),
            f"must not lie after {rules.name('SubnetMax')} {last}",
            str(last),
        )
    return Pool(network, length, first, last)


def _length(given: int, network: IPNetwork, rules: Rules) -> int:
    """flannel's rule: at least four subnets in a network, at least four addresses in a subnet."""
    name = rules.name("SubnetLen")
    shortest = network.prefixlen + 2
    if shortest > rules.longest:
        refuse(
            rules.name("Network"),
            str(network),
            "holds fewer than four subnets of four addresses",
            str(network.supernet(new_prefix=rules.longest - 2)),
        )
    if given == 0:
        return max(rules.usual, shortest)
    if given > rules.longest:
        refuse(
            name,
            given,
            f"must be at most {rules.longest}, or a subnet has no room for hosts",
            str(rules.longest),
        )
    if given < shortest:
        refuse(
            name,
            given,
            f"must be at least {shortest}, or {network} does not hold four subnets",
            str(shortest),
        )
    return given


def _bound(values: Values, rules: Rules, field: str, network: IPNetwork, length: int) -> IPAddress | None:
    name = rules.name(field)
    address = values.bound(name, rules.family)
    if address is None:
        return None
    offset = int(address) - int(network.network_address)
    if not 0 <= offset < network.num_addresses:
        refuse(name, str(address), f"must lie in {rules.name('Network')} {network}")
    size = 1 << (rules.family.bits - length)
    if offset % size:
        refuse(
            name,
            str(address),
            f"must be the base of a /{length}",
            str(_like(network, int(address) - offset % size)),
        )
    return address


def _like(network: IPNetwork, number: int) -> IPAddress:
    return IPv4Address(number) if network.version == 4 else IPv6Address(number)
