"""The names of hosts, as people read them: the host name in a lease, told apart where two hosts have one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from flanpy.model.lease import Lease


@dataclass(frozen=True, slots=True)
class HostNames:
    """The host names among some leases; `owners` maps each, in small letters, to the node ids that it could mean."""

    owners: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def among(cls, leases: Iterable[Lease]) -> HostNames:
        """Return the names of these leases. One host may have several; a node id counts as a name of its host."""
        pairs = {(one.record.host_name, one.record.node_id) for one in leases if one.record.node_id}
        owners: dict[str, frozenset[str]] = {}
        for name, node_id in pairs:
            for word in filter(None, (name.lower(), node_id.lower())):
                owners[word] = owners.get(word, frozenset()) | {node_id}
        return cls(MappingProxyType(owners))

    def of(self, lease: Lease) -> str:
        """Return the one name of a lease's host: `web-1`, `web-1~8b59ba42` if two have it, "" for one of flannel."""
        return self.name(lease.record.host_name, lease.record.node_id)

    def name(self, host: str, node_id: str) -> str:
        """Return the name of the host with this host name and node id."""
        if not host or not node_id:
            return node_id
        alone = self.owners.get(host.lower(), frozenset()) <= {node_id}
        return host if alone else f"{host}~{node_id}"
