"""A thousand simulated peers, each with an etcd lease of its own as a real host has, and their churn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import count as counting
from random import Random
from typing import Protocol

from integration.etcd.api import ETCD_PREFIX, EtcdApi
from integration.etcd.peers import Peer, simulated_peers

NETWORK = "10.0.0.0/8"
SPARE = 1.2
"""There are so many times as many subnets as peers, so that who comes is seldom who just went."""
TTL_S = 86_400
PREFIX = f"{ETCD_PREFIX}/subnets/"
FAR = IPv4Address("198.18.0.0")
"""Behind the router (RFC 2544's range): probes of a thousand hosts on the link fill the machine's neighbour table."""


class Watcher(Protocol):
    """A receiver of notices: each host that takes a subnet or gives it up, right before."""

    def came(self, subnet: str) -> None:
        """Note that the subnet's lease is about to be written."""

    def went(self, subnet: str) -> None:
        """Note that the subnet's lease is about to be removed."""


class Crowd:
    """The peers that there are; `churn` changes some of them, and tells the `watchers`."""

    def __init__(self, api: EtcdApi, count: int, *, seed: int = 0) -> None:
        self._api = api
        self.watchers: Sequence[Watcher] = ()
        self._dice = Random(seed)
        several = [
            replace(peer, public_ip=FAR + number)
            for number, peer in enumerate(simulated_peers(int(count * SPARE), network=NETWORK))
        ]
        self._here: dict[str, tuple[Peer, int]] = {}
        self._away = deque(several[count:])
        self._addresses = counting(len(several))
        self.changes = 0
        for peer in several[:count]:
            self.come(peer)

    @property
    def count(self) -> int:
        """Return the number of hosts that are there now."""
        return len(self._here)

    def come(self, peer: Peer) -> Peer:
        """Let a host take its subnet."""
        lease = self._api.grant(TTL_S)
        for each in self.watchers:
            each.came(str(peer.subnet))
        self._api.put(PREFIX + peer.key, peer.value, lease=lease)
        self._here[peer.key] = (peer, lease)
        self.changes += 1
        return peer

    def churn(self, changes: int) -> None:
        """Make `changes` changes, in pairs: a host leaves and another joins, or two change their addresses."""
        for _ in range(changes // 2):
            if self._dice.random() < 0.2:
                self._move()
                self._move()
            else:
                self._leave()
                self.come(self._away.popleft())

    def _any(self) -> tuple[Peer, int]:
        return self._here[self._dice.choice(list(self._here))]

    def _leave(self) -> None:
        """End the host's lease, or drain the host."""
        peer, lease = self._any()
        for each in self.watchers:
            each.went(str(peer.subnet))
        if self._dice.random() < 0.5:
            self._api.delete(PREFIX + peer.key)
        self._api.revoke(lease)
        del self._here[peer.key]
        self._away.append(peer)
        self.changes += 1

    def _move(self) -> None:
        """Give the host another address."""
        peer, lease = self._any()
        moved = replace(peer, public_ip=FAR + next(self._addresses))
        self._api.put(PREFIX + moved.key, moved.value, lease=lease)
        self._here[moved.key] = (moved, lease)
        self.changes += 1
