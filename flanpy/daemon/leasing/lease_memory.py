"""The disk's record of our lease: read once before the start, written whenever the lease changes.

With it a host boots with its subnet while etcd is unreachable, and a drained host stays drained. Must not decide the
lease's future: the keeper does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.daemon.host_files import LeaseFile
from flanpy.host import drain_file, state_file, subnet_env
from flanpy.host.absent import Absent
from flanpy.host.drain_file import Drained
from flanpy.host.state_file import SavedLease
from flanpy.log import get_logger
from flanpy.model.border import KnownBorder
from flanpy.model.lease import Lease, LeaseRecord, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.store.own.own_lease import StoredLease

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The values found on disk. `previous` is the subnet of an old subnet.env, a mere preference.

    `network_config` is the text that was in force with `stored`, "" without one. `border` is None if none was kept.
    """

    previous: SubnetKey | None = None
    drained: Drained | None = None
    stored: StoredLease | None = None
    network_config: str = ""
    border: KnownBorder | None = None


class LeaseMemory:
    """The files of one host; `note` takes (text for status, error) of the last write, one of them empty."""

    def __init__(
        self, settings: Settings, node_id: str, *, clock: Clock, note: Callable[[str, str], None]
    ) -> None:
        self._settings = settings
        self._node_id = node_id
        self._clock = clock
        self.file = LeaseFile(settings.state_dir, note=note)

    def recall(self) -> Recalled:
        """Read the files; one that cannot be used counts as absent and is named in the log."""
        env = subnet_env.read(self._settings.subnet_file)
        previous = None if isinstance(env, Absent) else SubnetKey(env.subnet, env.ipv6_subnet)
        drained = drain_file.load(self._settings.state_dir)
        if drained is not None:
            log.warning("drain_recalled", action="no lease is taken before flanpyctl drain --undo")
            return Recalled(previous=previous, drained=drained)
        saved = state_file.load(self._settings.state_dir, node_id=self._node_id)
        if isinstance(saved, Absent):
            if saved.reason:
                log.warning("saved_lease_refused", reason=saved.reason)
            return Recalled(previous=previous)
        record = LeaseRecord(saved.public_ip, saved.public_ip6, node_id=self._node_id)
        lease = Lease(saved.key, record, saved.lease_id, mod_revision=saved.revision)
        stored = StoredLease(lease, in_use=saved.key == previous)
        return Recalled(
            previous=previous, stored=stored, network_config=saved.network_config, border=saved.border
        )

    def keep(self, lease: Lease | None, network: NetworkConfig | None, border: KnownBorder) -> None:
        """Write all to disk; a lease or a network alone is not worth a file."""
        if lease is None or network is None:
            return
        self.file.save(
            SavedLease(
                key=lease.key,
                lease_id=lease.lease_id,
                revision=lease.mod_revision,
                node_id=self._node_id,
                network_config=network.text,
                public_ip=lease.record.public_ip,
                public_ip6=lease.record.public_ip6,
                saved_at=self._clock.wall(),
                border=border,
            )
        )
