"""Hosts that an operator shut out of the network: by node id, and by the keys that they had."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.lease import LeaseRecord
from flanpy.model.wireguard import fingerprint


@dataclass(frozen=True, slots=True)
class Revocation:
    """A host whose leases are refused, whichever key they name, and so are leases of others with one of its keys.

    `node_id` is "" for a host of flannel. `host` is its name for people, `at` the wall clock's second of the command.
    """

    node_id: str
    keys: tuple[str, ...] = ()
    host: str = ""
    at: float = 0.0

    @property
    def name(self) -> str:
        """Return what the host is called, by an operator and in `keys allow`."""
        return self.host or self.node_id or ", ".join(map(fingerprint, self.keys))

    def bars(self, record: LeaseRecord) -> bool:
        """Report whether a lease of this content is refused."""
        same_node = bool(self.node_id) and record.node_id == self.node_id
        return same_node or (bool(record.wireguard_key) and record.wireguard_key in self.keys)
