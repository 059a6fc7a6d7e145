"""The subnets a node may try to lease, and their order: flannel's choice, with overlap instead of equality.

Pure. Every existing key takes its subnet, even if its value is unreadable. A key that holds the whole network or more
takes nothing: no node leases such a subnet, and one stray `0.0.0.0-0` must not keep every new host out
(`plan.admission` refuses it as well).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import islice
from random import Random

from flanpy.errors import LeaseError
from flanpy.model.address import IPNetwork
from flanpy.model.lease import LeaseView, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.store.schema import decode_key

CHOICE = 100
"""flannel picks at random among so many of the first free subnets; so few keep routes near each other, so many
make it unlikely that two hosts want the same one."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """One family's subnets that may be leased: `count` of them, each `size` addresses, from number `first` on."""

    network: IPNetwork
    length: int
    first: int
    count: int

    @property
    def size(self) -> int:
        return 1 << (self.network.max_prefixlen - self.length)

    def subnet(self, index: int) -> IPv4Network | IPv6Network:
        base = self.first + index * self.size
        return (
            IPv4Network((base, self.length))
            if self.network.version == 4
            else IPv6Network((base, self.length))
        )

    def slots(self, subnet: IPNetwork) -> tuple[int, int] | None:
        """Return the first and last index that `subnet` overlaps, None if it overlaps none."""
        if subnet.prefixlen <= self.network.prefixlen:
            return None
        start = int(subnet.network_address) - self.first
        end = start + (1 << (subnet.max_prefixlen - subnet.prefixlen)) - 1
        first, last = max(start // self.size, 0), min(end // self.size, self.count - 1)
        return (first, last) if first <= last else None


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one family's pool."""

    total: int
    taken: int

    @property
    def free(self) -> int:
        return self.total - self.taken


def candidates(
    network: NetworkConfig,
    view: LeaseView,
    *,
    previous: SubnetKey | None = None,
    rng: Random,
    own: frozenset[str] = frozenset(),
    barred: Sequence[IPNetwork] = (),
) -> tuple[SubnetKey, ...]:
    """Yield the keys to try, in order: the previous subnet if it is free and fits, then free ones in random order.

    `own` are key texts that do not count as taken: leases of ours that the new one replaces. `barred` ranges are taken
    by this host itself. In a dual-stack network a
    previous IPv4 subnet is kept with a new IPv6 one, so that containers keep what they have. Raises LeaseError naming
    the counts if nothing is free.
    """
    taken4, taken6 = _taken(view, own)
    taken4 += [one for one in barred if one.version == 4]
    taken6 += [one for one in barred if one.version == 6]
    free = [
        _free(pool, taken, kept, rng)
        for pool, taken, kept in (
            (pool4(network), taken4, previous.subnet if previous else None),
            (pool6(network), taken6, previous.subnet6 if previous else None),
        )
    ]
    return tuple(_keys(free[0], free[1]))


def usage(network: NetworkConfig, view: LeaseView) -> tuple[Usage | None, Usage | None]:
    """Count the subnets of each family, all and taken; None for a family that is off."""
    pools = (pool4(network), pool6(network))
    counts = [
        None
        if pool is None
        else Usage(pool.count, sum(last - first + 1 for first, last in _merged(pool, taken)))
        for pool, taken in zip(pools, _taken(view, frozenset()), strict=True)
    ]
    return counts[0], counts[1]


def fits(network: NetworkConfig, key: SubnetKey) -> bool:
    """Report whether the network config would lease such a key now (flannel's test for a previous subnet)."""
    return _fits(pool4(network), key.subnet) and _fits(pool6(network), key.subnet6)


def excluded(network: NetworkConfig, key: SubnetKey) -> str:
    """Return why the network has no room for this key any more, "" if it has room.

    Milder than `fits`: another SubnetLen or new bounds are no reason to take a subnet from running containers.
    """
    parts = ((network.network, key.subnet), (network.network6, key.subnet6))
    used = [(range_, subnet) for range_, subnet in parts if range_ is not None and subnet is not None]
    if not used:
        return f"{key} has no subnet of a family of the network"
    for range_, subnet in used:
        if subnet.prefixlen <= range_.prefixlen or not _inside(subnet, range_):
            return f"{subnet} is no part of network {range_}"
    return ""


def contested(network: NetworkConfig, key: SubnetKey, other: SubnetKey) -> bool:
    """Report whether `other` takes an address of `key`. One as large as the network or larger takes none (above)."""
    families = ((network.network, key.subnet, other.subnet), (network.network6, key.subnet6, other.subnet6))
    return any(
        range_ is not None
        and ours is not None
        and theirs is not None
        and theirs.prefixlen > range_.prefixlen
        and ours.overlaps(theirs)
        for range_, ours, theirs in families
    )


def pool4(network: NetworkConfig) -> _Pool | None:
    """Return the IPv4 pool, None if IPv4 is off."""
    if network.network is None or network.subnet_min is None or network.subnet_max is None:
        return None
    return _pool(network.network, network.subnet_len, int(network.subnet_min), int(network.subnet_max))


def pool6(network: NetworkConfig) -> _Pool | None:
    """Return the IPv6 pool, None if IPv6 is off."""
    if network.network6 is None or network.subnet_min6 is None or network.subnet_max6 is None:
        return None
    return _pool(network.network6, network.subnet_len6, int(network.subnet_min6), int(network.subnet_max6))


def _pool(network: IPNetwork, length: int, first: int, last: int) -> _Pool:
    size = 1 << (network.max_prefixlen - length)
    return _Pool(network, length, first, (last - first) // size + 1)


def _inside(subnet: IPNetwork, network: IPNetwork) -> bool:
    return subnet.supernet(new_prefix=network.prefixlen) == network


def _fits(pool: _Pool | None, subnet: IPNetwork | None) -> bool:
    if pool is None or subnet is None:
        return pool is None and subnet is None
    if subnet.prefixlen != pool.length:
        return False
    return 0 <= int(subnet.network_address) - pool.first < pool.count * pool.size


def _taken(view: LeaseView, own: frozenset[str]) -> tuple[list[IPNetwork], list[IPNetwork]]:
    keys = [lease.key for text, lease in view.leases.items() if text not in own]
    for invalid in view.invalid:
        key = decode_key(invalid.key)
        if isinstance(key, SubnetKey):
            keys.append(key)
    return (
        [key.subnet for key in keys if key.subnet is not None],
        [key.subnet6 for key in keys if key.subnet6 is not None],
    )


def _merged(pool: _Pool, taken: Iterable[IPNetwork]) -> Iterator[tuple[int, int]]:
    """Return the taken slots as disjoint ascending ranges."""
    first, last = -1, -1
    for start, end in sorted(filter(None, map(pool.slots, taken))):
        if start > last:
            if last >= 0:
                yield first, last
            first, last = start, end
        else:
            last = max(last, end)
    if last >= 0:
        yield first, last


def _gaps(pool: _Pool, taken: Iterable[IPNetwork]) -> Iterator[int]:
    """Yield the free slots in ascending order; an IPv6 pool may have more than fit into memory."""
    slot = 0
    for first, last in _merged(pool, taken):
        yield from range(slot, first)
        slot = last + 1
    yield from range(slot, pool.count)


@dataclass(frozen=True, slots=True)
class _Free:
    """One family's choice: the subnet to keep if possible, and others in random order."""

    pool: _Pool
    kept: IPNetwork | None
    others: list[IPv4Network | IPv6Network]


def _free(
    pool: _Pool | None, taken: list[IPNetwork], previous: IPNetwork | None, rng: Random
) -> _Free | None:
    if pool is None:
        return None
    slots = list(islice(_gaps(pool, taken), CHOICE))
    rng.shuffle(slots)
    holding = [one for one in taken if pool.slots(one) is not None]
    kept = previous if _fits(pool, previous) and not any(map(previous.overlaps, holding)) else None  # type: ignore[union-attr]
    return _Free(pool, kept, [subnet for subnet in map(pool.subnet, slots) if subnet != kept])


def _keys(free4: _Free | None, free6: _Free | None) -> Iterator[SubnetKey]:
    choice4 = None if free4 is None else _ordered(free4)
    choice6 = None if free6 is None else _ordered(free6)
    if choice4 is None:
        return (SubnetKey(None, subnet) for subnet in choice6 or ())  # type: ignore[arg-type]
    if choice6 is None:
        return (SubnetKey(subnet) for subnet in choice4)  # type: ignore[arg-type]
    return (SubnetKey(a, b) for a, b in zip(choice4, choice6, strict=False))  # type: ignore[arg-type]


def _ordered(free: _Free) -> list[IPNetwork]:
    if free.kept is not None:
        return [free.kept, *free.others]
    if not free.others:
        raise LeaseError(
            f"no free subnet: all {free.pool.count} of /{free.pool.length} in {free.pool.network} are taken;"
            " release unused leases or enlarge the network"
        )
    return [*free.others]
