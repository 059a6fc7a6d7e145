"""Compares that make an allocation safe: the transaction fails if a possibly overlapping subnet came since the listing.

`key_absent` protects one key from a second creation. Subnets of other lengths and other IPv4/IPv6 pairs overlap under
other keys, so a range of keys is compared: none of them may have been created after the revision of the listing. As
etcd runs transactions one by one, no two of ours can both succeed. This needs nothing of other writers: flannel's
creations trip the guard too. (flannel itself only checks its own key; a lease it creates over an older one is
younger, and `plan.admission` refuses the younger one.)

The ranges are narrow where possible, so that a thousand hosts that start at once do not trip over each other; keys
sort by the IPv4 text, so a pair, or IPv6 alone, is guarded by all keys.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from flanpy.model.lease import SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.store.port import Compare, CompareTarget, Relation

_MOST_RANGES = 16


def overlap_guard(prefix: str, key: SubnetKey, network: NetworkConfig, revision: int) -> tuple[Compare, ...]:
    """Return the compares for creating `key` below `prefix` after a listing at `revision` without an overlap."""
    if is_narrow(key, network):
        assert key.subnet is not None
        assert network.network is not None
        stems = _stems(key.subnet, network.network)
    else:
        stems = [""]
    return tuple(
        Compare(prefix + stem, CompareTarget.CREATE_REVISION, revision + 1, Relation.LESS, prefix=True)
        for stem in stems
    )


def is_narrow(key: SubnetKey, network: NetworkConfig) -> bool:
    """Report whether only keys near `key` are guarded: then one lost race does not affect the next candidate."""
    return key.subnet6 is None and network.network6 is None and network.network is not None


def _stems(subnet: IPv4Network, network: IPv4Network) -> list[str]:
    """Return the beginnings of all keys whose subnet can overlap `subnet` inside `network`."""
    wider = [
        f"{subnet.supernet(new_prefix=length).network_address}-{length}"
        for length in range(network.prefixlen + 1, subnet.prefixlen)
    ]
    return [*wider, *_inner(subnet)]


def _inner(subnet: IPv4Network) -> list[str]:
    """Return the beginnings of the texts of all addresses in `subnet`; whole octets, so they may take in neighbours."""
    octets = subnet.network_address.packed
    whole = min(subnet.prefixlen // 8, 3)
    stem = "".join(f"{octet}." for octet in octets[:whole])
    rest = 8 - subnet.prefixlen % 8
    if whole == 3 or 1 << rest > _MOST_RANGES:
        return [stem]
    first = octets[whole]
    return [f"{stem}{octet}." for octet in range(first, first + (1 << rest))]
