"""The look-up of a packet's peer: longest-prefix match over the table, at the price of one dictionary look-up.

An address that was looked up once is remembered, so neither the number of peers nor that of prefix lengths costs
anything while packets flow. The number of remembered addresses is bounded: unknown senders choose the addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from flanpy.model.tunnel import TunnelTable

MOST_REMEMBERED = 65536

SocketAddress = tuple[str, int]


class Lookup:
    """One look-up, made for each table."""

    __slots__ = ("_by_length", "_destinations", "_sources", "mtu", "own_address", "peers", "port")

    def __init__(self, table: TunnelTable) -> None:
        by_length: dict[int, dict[int, str]] = {}
        for row in table.rows:
            bits = row.subnet.prefixlen
            by_length.setdefault(bits, {})[int(row.subnet.network_address) >> (32 - bits)] = str(row.peer)
        own = table.own
        by_length.setdefault(own.prefixlen, {})[int(own.network_address) >> (32 - own.prefixlen)] = ""
        self._by_length = sorted(by_length.items(), reverse=True)
        self._destinations: dict[int, SocketAddress | None] = {}
        self._sources: dict[int, str | None] = {}
        self.port = table.port
        self.mtu = table.mtu
        self.peers = frozenset(str(row.peer) for row in table.rows)
        self.own_address = int(own.network_address)

    def peer_of(self, address: int) -> str | None:
        """Return the public address of the peer whose subnet has `address`; "" if it is ours, None if nobody's."""
        try:
            return self._sources[address]
        except KeyError:
            if len(self._sources) >= MOST_REMEMBERED:
                self._sources.clear()
            found = self._sources[address] = self._match(address)
            return found

    def way_to(self, address: int) -> SocketAddress | None:
        """Return the socket address for packets to `address`; None if no peer has it."""
        try:
            return self._destinations[address]
        except KeyError:
            if len(self._destinations) >= MOST_REMEMBERED:
                self._destinations.clear()
            peer = self._match(address)
            found = self._destinations[address] = (peer, self.port) if peer else None
            return found

    def _match(self, address: int) -> str | None:
        for bits, prefixes in self._by_length:
            peer = prefixes.get(address >> (32 - bits))
            if peer is not None:
                return peer
        return None


EMPTY = TunnelTable(IPv4Address(0), 0, 0, IPv4Network("0.0.0.0/32"))
"""Return the look-up before the first table: it has no peers."""
