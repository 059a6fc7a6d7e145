"""The holders of addresses of named networks, and which addresses several containers hold. Pure.

Docker on one host knows nothing of the others: an `--ip` or `--mac-address` that is given twice is taken twice, and
both containers lose packets to each other. Kept by change, and as references alone: a host may know 50,000 containers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flanpy.model.address import IPAddress, Mac
from flanpy.model.networks.names import FLAT, NamedContainer, SharedAddress, ToldNames

_Address = IPAddress | Mac


class AddressHolders:
    """The containers that have each address, by network. `put` and `drop` take the same values in turn."""

    def __init__(self) -> None:
        self._holder: dict[str, dict[_Address, ToldNames]] = {}
        self._shared: dict[tuple[str, _Address], list[ToldNames]] = {}

    def put(self, told: ToldNames) -> None:
        """Take what one host tells of one network."""
        if told.network == FLAT:  # each host has a subnet of its own there
            return
        holder = self._holder.setdefault(told.network, {})
        for address, times in Counter(_addresses_of(told)).items():
            first = holder.setdefault(address, told)
            shared = self._shared.get((told.network, address), [first])
            if shared[-1] is not told:
                shared.append(told)
            if len(shared) > 1 or times > 1:
                self._shared[told.network, address] = shared

    def drop(self, told: ToldNames) -> None:
        """Take back what `put` took."""
        holder = self._holder.get(told.network, {})
        for address in _addresses_of(told):
            left = [one for one in self._shared.pop((told.network, address), ()) if one is not told]
            if left:
                holder[address] = left[0]
                if len(left) > 1 or _names(left[0], address)[1:]:
                    self._shared[told.network, address] = left
            elif holder.get(address) is told:
                del holder[address]
        if not holder:
            self._holder.pop(told.network, None)

    def shared_with(self, node_id: str) -> tuple[SharedAddress, ...]:
        """Return the addresses that containers of this host share with other containers, in order.

        A MAC is told only of containers that share no IP address: Docker up to 27 makes one of the other.
        """
        found: list[SharedAddress] = []
        for network, address in sorted(self._shared, key=_order):
            told = sorted(
                self._shared[network, address], key=lambda one: (one.node_id != node_id, one.node_id)
            )
            holders = tuple(
                (one.node_id, one.host or one.node_id, name) for one in told for name in _names(one, address)
            )
            known = any((network, holders) == (one.network, one.holders) for one in found)
            if told[0].node_id == node_id and not (isinstance(address, Mac) and known):
                found.append(SharedAddress(network, str(address), holders))
        return tuple(found)


def _addresses_of(told: ToldNames) -> Iterator[_Address]:
    for container in told.containers:
        yield from _addresses(container)


def _addresses(container: NamedContainer) -> tuple[_Address, ...]:
    return container.addresses if container.mac is None else (*container.addresses, container.mac)


def _names(told: ToldNames, address: _Address) -> tuple[str, ...]:
    return tuple(sorted(one.name for one in told.containers if address in _addresses(one)))


def _order(key: tuple[str, _Address]) -> tuple[str, bool, int, bytes]:
    network, address = key
    version = 0 if isinstance(address, Mac) else address.version
    return network, isinstance(address, Mac), version, address.packed
