"""The disk's record of our lease: read once before the start, written whenever the lease changes.

With it a host boots with its subnet while etcd is unreachable, and a drained host stays drained. Must not decide the
lease's future: the keeper does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from flanpy.model.world import Claim
from flanpy.store.own.own_lease import StoredLease
from flanpy.store.port import KeyValue
from flanpy.store.schema import decode_lease, encode_record

log = get_logger()

MOST_NEWEST = 512
"""The newest leases kept on disk. More are new at once only where a host joins a large network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The values found on disk. `previous` is the subnet of an old subnet.env, a mere preference.

    `network_config` is the text that was in force with `stored`, "" without one. `border` is None if none was kept.
    `newest` are the leases whose routes were new when the daemon ended.
    """

    previous: SubnetKey | None = None
    drained: Drained | None = None
    stored: StoredLease | None = None
    network_config: str = ""
    border: KnownBorder | None = None
    newest: tuple[Lease, ...] = ()


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
            previous=previous,
            stored=stored,
            network_config=saved.network_config,
            border=saved.border,
            newest=tuple(_leases(saved.newest)),
        )

    def keep(
        self,
        lease: Lease | None,
        network: NetworkConfig | None,
        border: KnownBorder,
        newest: Iterable[Claim] = (),
    ) -> None:
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
                newest=tuple(
                    sorted((str(key), encode_record(record).decode()) for key, record in newest)[:MOST_NEWEST]
                ),
            )
        )


def _leases(saved: Iterable[tuple[str, str]]) -> Iterator[Lease]:
    """Yield the leases that can be read as such, each judged as if etcd had said it."""
    for key, value in saved:
        lease = decode_lease(KeyValue(key, value.encode("utf-8", "replace"), 0, 0, 0, 0), "")
        if isinstance(lease, Lease):
            yield lease
