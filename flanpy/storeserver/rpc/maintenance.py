"""The service Maintenance: status, the alarm about space, a snapshot."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from flanpy import __version__
from flanpy.store import etcdpb as pb
from flanpy.storeserver.access import Access
from flanpy.storeserver.rpc.calls import Context, answering
from flanpy.storeserver.store import Store

VERSION: Final = f"flanpy-store {__version__}"
"""No version of etcd: clients must not take this store for one."""
_PIECE: Final = 256 << 10
_ALARM: Final = "NOSPACE"


class Maintenance(pb.MaintenanceServicer):
    """etcdserverpb.Maintenance."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def Status(self, _request: pb.StatusRequest, context: Context) -> pb.StatusResponse:  # noqa: N802
        async with answering(context):
            self._access.of(context).known()
            return self._status()

    def _status(self) -> pb.StatusResponse:
        header = self._store.header()
        size, used = self._store.sizes()
        alarm = f"memberID:{header.member_id} alarm:{_ALARM} "
        return pb.StatusResponse(
            header=header,
            version=VERSION,
            dbSize=size,
            dbSizeInUse=used,
            leader=header.member_id,
            raftTerm=header.raft_term,
            raftIndex=header.revision,
            raftAppliedIndex=header.revision,
            errors=[alarm] if self._store.full else [],
        )

    async def Alarm(self, request: pb.AlarmRequest, context: Context) -> pb.AlarmResponse:  # noqa: N802
        async with answering(context):
            self._access.of(context).everything()
            before = self._store.full
            if request.action != pb.AlarmRequest.GET and request.alarm in {pb.NOSPACE, pb.NONE}:
                self._store.alarm(on=request.action == pb.AlarmRequest.ACTIVATE)
            header = self._store.header()
            told = before if request.action == pb.AlarmRequest.DEACTIVATE else self._store.full
            alarms = [pb.AlarmMember(memberID=header.member_id, alarm=pb.NOSPACE)] if told else []
            return pb.AlarmResponse(header=header, alarms=alarms)

    async def Snapshot(  # noqa: N802
        self, _request: pb.SnapshotRequest, context: Context
    ) -> AsyncIterator[pb.SnapshotResponse]:
        """Send the file as it is now, then its SHA-256, as etcd does."""
        async with answering(context):
            self._access.of(context).everything()
        with tempfile.TemporaryDirectory(prefix=".snapshot-", dir=self._store.path.parent) as directory:
            copy = Path(directory, "store.db")
            async with answering(context):
                await self._store.copy(copy)
            digest = hashlib.sha256()
            for left, piece in _pieces(copy):
                digest.update(piece)
                yield pb.SnapshotResponse(header=self._store.header(), remaining_bytes=left, blob=piece)
        yield pb.SnapshotResponse(header=self._store.header(), blob=digest.digest())


def _pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read a file by pieces; with each, how many bytes are left."""
    left = path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            left -= len(piece)
            yield left, piece
