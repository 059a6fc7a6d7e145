"""The table of all names: which addresses a name has for somebody who asks from certain networks. No I/O.

Owns the ways in which a name may be written and the order of what it means. Names are compared without case, as DNS
does. A container that asks learns only of networks that it is on: a name of another network is none.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from flanpy.model.address import IPAddress
from flanpy.model.networks.names import FLAT, ZONE, NamedContainer, ToldNames, is_askable
from flanpy.names.shared import AddressHolders

_SUFFIX = f".{ZONE}"

_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asks: the networks of the container, in the order in which short names are looked up.

    `outside`: questions that are not ours are asked of the host's own servers for them.
    """

    networks: tuple[str, ...] = ()
    outside: bool = True


@dataclass(frozen=True, slots=True)
class _Entry:
    """A container as one host tells of it."""

    told: ToldNames
    container: NamedContainer


_Entries = tuple[_Entry, ...] | list[_Entry]
"""The containers of a name or an address. One alone is a tuple, which all names of that container share: a host may
know 50,000 containers, and few names have several."""


class NameTable:
    """All names. `put` and `drop` replace what one host tells of one network; own names come first in answers."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._told: dict[tuple[str, str], ToldNames] = {}
        self._by_name: dict[str, dict[str, _Entries]] = {}
        self._by_address: dict[IPAddress, _Entries] = {}
        self.holders = AddressHolders()

    def put(self, told: ToldNames) -> None:
        """Take what a host tells of one network, in place of what it told before."""
        self.drop(told.network, told.node_id)
        self._told[told.network, told.node_id] = told
        self.holders.put(told)
        names = self._by_name.setdefault(told.network, {})
        for container in told.containers:
            alone = (_Entry(told, container),)
            for name in _names_of(container):
                _add(names, name, alone)
            for address in container.addresses:
                _add(self._by_address, address, alone)

    def drop(self, network: str, node_id: str) -> None:
        """Forget what a host told of one network."""
        told = self._told.pop((network, node_id), None)
        if told is None:
            return
        self.holders.drop(told)
        names = self._by_name.get(network, {})
        for name in {name for container in told.containers for name in _names_of(container)}:
            _take_away(names, name, told)
        for address in {address for container in told.containers for address in container.addresses}:
            _take_away(self._by_address, address, told)
        if not names:
            self._by_name.pop(network, None)

    def told(self) -> Iterator[ToldNames]:
        """Yield what is known, in the order of networks and hosts."""
        return (self._told[key] for key in sorted(self._told))

    def told_by(self, network: str, node_id: str) -> ToldNames | None:
        """Return what a host told of one network."""
        return self._told.get((network, node_id))

    def counts(self) -> dict[str, int]:
        """Return the number of names by network."""
        return {network: len(names) for network, names in sorted(self._by_name.items())}

    def networks_of(self, address: IPAddress) -> tuple[str, ...]:
        """Return the networks on which a container of this host has the address."""
        known = self._by_address.get(address, ())
        return tuple({one.told.network: None for one in known if one.told.node_id == self._node_id})

    def find(self, question: str, asker: Asker) -> tuple[IPAddress, ...] | None:
        """Return the addresses of a name as it is asked for, own host first; None if the asker knows no such name."""
        name = question.rstrip(".").lower()
        if is_ours(name):
            return self._whole(name.removesuffix(_SUFFIX), asker)
        for network in asker.networks:
            if network != FLAT and (holders := self._by_name.get(network, {}).get(name)):
                return self._ordered(name, holders)
        return self._of_network(name, asker)

    def reverse(self, address: IPAddress, asker: Asker) -> str | None:
        """Return the whole name of an address, None if the asker may not know it."""
        known = [one for one in self._by_address.get(address, ()) if one.told.network in asker.networks]
        for one in sorted(known, key=lambda one: (one.told.network, _by_age(one))):
            if is_askable(name := one.container.name):
                return f"{name}.{one.told.host if one.told.network == FLAT else one.told.network}{_SUFFIX}"
        return None

    def _whole(self, name: str, asker: Asker) -> tuple[IPAddress, ...] | None:
        found = self._of_network(name, asker)
        return self._of_host(name, asker) if found is None else found

    def _of_network(self, name: str, asker: Asker) -> tuple[IPAddress, ...] | None:
        networks = {network.lower(): network for network in asker.networks if network != FLAT}
        for left, right in _splits(name):
            if holders := self._by_name.get(networks.get(right, ""), {}).get(left):
                return self._ordered(left, holders)
        return None

    def _of_host(self, name: str, asker: Asker) -> tuple[IPAddress, ...] | None:
        """Find `NAME.HOST` on the flat overlay; the first label of a host's name is enough."""
        if FLAT not in asker.networks:
            return None
        for left, right in _splits(name):
            known = self._by_name.get(FLAT, {}).get(left, ())
            hosts = ((one, one.told.host.lower()) for one in known)
            here = [one for one, host in hosts if right in {host, host.partition(".")[0]}]
            if here:
                return self._ordered(left, here)
        return None

    def _ordered(self, name: str, found: _Entries) -> tuple[IPAddress, ...]:
        """Return own addresses, then those of other hosts.

        An alias is many containers' by intent: they come in a new order each time, which shares the load. Where a
        container's own name is another's, too, the older comes first, so that an asker stays with one of them.
        """
        own = [one for one in found if one.told.node_id == self._node_id]
        others = [one for one in found if one.told.node_id != self._node_id]
        if all(one.container.name.lower() == name for one in others):
            others.sort(key=_by_age)
        else:
            random.shuffle(others)
        return tuple(dict.fromkeys(address for one in (*own, *others) for address in one.container.addresses))


def _names_of(container: NamedContainer) -> dict[str, None]:
    """Return the names that can be asked for, in lower case; one that is so already is no second string."""
    lowered = ((name, name.lower()) for name in container.names)
    names = (name if name == low else low for name, low in lowered)
    return {name: None for name in names if is_askable(name)}


def _add(known: dict[_K, _Entries], key: _K, alone: tuple[_Entry]) -> None:
    there = known.get(key)
    if there is None:
        known[key] = alone
    elif isinstance(there, list):
        there.append(alone[0])
    else:
        known[key] = [*there, alone[0]]


def _take_away(known: dict[_K, _Entries], key: _K, told: ToldNames) -> None:
    left = [one for one in known.get(key, ()) if one.told is not told]
    if left:
        known[key] = left
    else:
        known.pop(key, None)


def _by_age(one: _Entry) -> tuple[float, str, str]:
    """Order by age, the older first; whose age is unknown comes last."""
    return one.container.created or math.inf, one.told.node_id, one.container.name


def is_ours(name: str) -> bool:
    """Report whether nobody else can know of the name."""
    return name == ZONE or name.endswith(_SUFFIX)


def reverse_address(question: str) -> IPAddress | None:
    """Return the address that a name below in-addr.arpa or ip6.arpa stands for (RFC 1035, 3.5; RFC 3596, 2.5)."""
    name = question.rstrip(".").lower()
    try:
        if name.endswith(".in-addr.arpa"):
            return ip_address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
        if name.endswith(".ip6.arpa"):
            digits = name.removesuffix(".ip6.arpa").split(".")
            if len(digits) == 32 and all(len(one) == 1 for one in digits):
                return ip_address(int("".join(reversed(digits)), 16).to_bytes(16, "big"))
    except ValueError:
        pass
    return None


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to cut a name in two at a dot, the longest first part first: both parts may have dots."""
    at = name.rfind(".")
    while at > 0:
        yield name[:at], name[at + 1 :]
        at = name.rfind(".", 0, at)
