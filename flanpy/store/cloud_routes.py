"""The records of cloud routes that hosts share in etcd below `<prefix>/cloud/`; flannel reads nothing there.

`routes/<subnet>` holds the maker of a route, its destination and its tables, without an etcd lease, so that a route
outlives its host as provably the overlay's. `removing/<subnet>` is the claim of the host that removes a route. A host
gets a claim only while `subnets/<subnet>` is absent or its own; a host that leases the subnet after that waits for the
claim's end before it makes its own route. So no host's removal meets the route of the subnet's next owner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import Any, Protocol

from flanpy.errors import MALFORMED
from flanpy.model.cloud import CloudRecord
from flanpy.model.lease import Lease
from flanpy.store.port import KeyStore, KeyValue, LeaseStore, PutKey, Txn, key_absent, key_unchanged
from flanpy.store.schema import decode_lease, subnets_prefix

CLAIM_S = 180
"""Longer than a removal may take, in daemon or command: a claim is not given up while the provider may still act."""


class RouteStore(KeyStore, LeaseStore, Protocol):
    """The part of etcd that the registry uses."""


class EtcdRegistry:
    """Implements `cloud.port.Registry` for the host `node_id`."""

    def __init__(self, store: RouteStore, prefix: str, node_id: str) -> None:
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
                subnet = IPv4Network(item.key.removeprefix(self._routes).replace("-", "/"))
                found[subnet] = _record(json.loads(item.value))
            except MALFORMED:
                continue
        return MappingProxyType(found)

    async def write(self, subnet: IPv4Network, record: CloudRecord) -> None:
        value = {
            "Target": record.target,
            "NodeID": record.node_id,
            "Table": record.table,
            "Written": record.written,
        }
        await self._store.put(f"{self._routes}{_name(subnet)}", json.dumps(value).encode())

    async def remove(self, subnet: IPv4Network) -> None:
        await self._store.delete(f"{self._routes}{_name(subnet)}")

    async def claimed(self, subnet: IPv4Network) -> bool:
        return await self._store.get(f"{self._removing}{_name(subnet)}") is not None

    async def claim(self, subnet: IPv4Network) -> bool:
        name = _name(subnet)
        held = await self._store.get(f"{self._subnets}{name}")
        if held is not None and not self._is_own(held):
            return False
        at_rest = key_absent(f"{self._subnets}{name}") if held is None else key_unchanged(held)
        lease = await self._store.grant(CLAIM_S)
        claimed = await self._store.txn(
            Txn(
                (at_rest, key_absent(f"{self._removing}{name}")),
                (PutKey(f"{self._removing}{name}", self._node_id.encode(), lease),),
            )
        )
        if claimed.succeeded:
            self._claims[subnet] = lease
        else:
            await self._store.revoke(lease)
        return claimed.succeeded

    def _is_own(self, held: KeyValue) -> bool:
        lease = decode_lease(held, self._subnets)
        return isinstance(lease, Lease) and bool(self._node_id) and lease.record.node_id == self._node_id

    async def release(self, subnet: IPv4Network) -> None:
        lease = self._claims.pop(subnet, 0)
        if lease:
            await self._store.revoke(lease)


def _record(value: dict[str, Any]) -> CloudRecord:
    written = tuple(str(one) for one in value.get("Written", ()))
    return CloudRecord(str(value["Target"]), str(value["NodeID"]), str(value.get("Table", "")), written)


def _name(subnet: IPv4Network) -> str:
    return str(subnet).replace("/", "-")
