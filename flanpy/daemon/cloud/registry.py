"""The records of cloud routes that hosts share in etcd below `<prefix>/cloud/`; flannel reads nothing there.

`routes/<subnet>` holds the maker of a route and its destination, without an etcd lease, so that a route outlives its
host as provably the overlay's. `removing/<subnet>` is the claim of the host that removes a route. A host gets a claim
only while `subnets/<subnet>` is absent; a host that leases the subnet after that waits for the claim's end before it
makes its own route. So no host's removal meets the route of the subnet's next owner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import Protocol

from flanpy.model.cloud import CloudRecord
from flanpy.store.port import KeyStore, LeaseStore, Put, Txn, key_absent
from flanpy.store.schema import subnets_prefix

CLAIM_S = 60
"""Longer than the calls that are made under a claim may take."""


class Store(KeyStore, LeaseStore, Protocol):
    """The part of etcd that the registry uses."""


class EtcdRegistry:
    """Implements `cloud.port.Registry`."""

    def __init__(self, store: Store, prefix: str, node_id: str) -> None:
        self._store = store
        self._subnets = subnets_prefix(prefix)
        self._routes = f"{prefix.rstrip('/')}/cloud/routes/"
        self._removing = f"{prefix.rstrip('/')}/cloud/removing/"
        self._node_id = node_id
        self._claims: dict[IPv4Network, int] = {}

    async def records(self) -> Mapping[IPv4Network, CloudRecord]:
        """Read all records; an unreadable one is left out."""
        found = {}
        for item in (await self._store.list(self._routes)).items:
            try:
                value = json.loads(item.value)
                subnet = IPv4Network(item.key.removeprefix(self._routes).replace("-", "/"))
                found[subnet] = CloudRecord(
                    str(value["Target"]), str(value["NodeID"]), str(value.get("Table", ""))
                )
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue
        return MappingProxyType(found)

    async def write(self, subnet: IPv4Network, record: CloudRecord) -> None:
        value = {"Target": record.target, "NodeID": record.node_id, "Table": record.table}
        await self._store.put(f"{self._routes}{_name(subnet)}", json.dumps(value).encode())

    async def remove(self, subnet: IPv4Network) -> None:
        await self._store.delete(f"{self._routes}{_name(subnet)}")

    async def claimed(self, subnet: IPv4Network) -> bool:
        return await self._store.get(f"{self._removing}{_name(subnet)}") is not None

    async def claim(self, subnet: IPv4Network) -> bool:
        name = _name(subnet)
        lease = await self._store.grant(CLAIM_S)
        self._claims[subnet] = lease
        claimed = await self._store.txn(
            Txn(
                (key_absent(f"{self._subnets}{name}"), key_absent(f"{self._removing}{name}")),
                (Put(f"{self._removing}{name}", self._node_id.encode(), lease),),
            )
        )
        if not claimed.succeeded:
            await self.release(subnet)
        return claimed.succeeded

    async def release(self, subnet: IPv4Network) -> None:
        lease = self._claims.pop(subnet, 0)
        if lease:
            await self._store.revoke(lease)


def _name(subnet: IPv4Network) -> str:
    return str(subnet).replace("/", "-")
