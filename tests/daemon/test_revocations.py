"""A host that finds itself on the list of revoked hosts, and off it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from flanpy.daemon.revocations import Revocations
from flanpy.errors import HostError
from flanpy.model.condition import ConditionType
from flanpy.model.revocation import Revocation
from flanpy.store.port import DeleteKey, PutKey, Txn
from flanpy.store.revocations import encode_revocation, revoked_key
from flanpy.store.session.etcd import EtcdSession
from tests.daemon.rig import NODE, PREFIX, Rig, make, running

pytestmark = pytest.mark.asyncio

US = Revocation(NODE, host="here", at=1.0)
KEY = revoked_key(PREFIX, US)


@asynccontextmanager
async def followed(tmp_path: Path) -> AsyncIterator[tuple[Rig, Revocations]]:
    rig = make(tmp_path)
    rig.configure()
    revocations = Revocations(
        cast(EtcdSession, rig.session),
        PREFIX,
        NODE,
        changed=rig.loop.revoked_changed,
        shut_out=rig.leasing.shut_out,
    )
    async with running(rig):
        task = asyncio.create_task(revocations.follow())
        yield rig, revocations
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _changed(rig: Rig, change: PutKey | DeleteKey) -> None:
    rig.etcd.run(Txn((), (change,)))
    rig.etcd.wake()
    await rig.clock.advance(30)


async def test_revoked_host_gives_its_lease_back_says_so_and_takes_part_again_once_allowed(
    tmp_path: Path,
) -> None:
    async with followed(tmp_path) as (rig, revocations):
        (held,) = rig.subnets()
        await _changed(rig, PutKey(KEY, encode_revocation(US)))
        assert rig.subnets() == []
        assert rig.condition(ConditionType.LEASE_VALID).reason == "Revoked"
        assert rig.loop.world.revoked == (US,)
        assert revocations.document()[0]["name"] == "here"
        with pytest.raises(HostError, match="was revoked"):
            await rig.leasing.undrain()
        await _changed(rig, DeleteKey(KEY))
        assert rig.subnets() == [held]
        assert rig.condition(ConditionType.LEASE_VALID).reason == "Leased"


async def test_other_hosts_on_the_list_and_what_cannot_be_read_leave_our_lease_alone(tmp_path: Path) -> None:
    async with followed(tmp_path) as (rig, _):
        held = rig.subnets()
        await _changed(rig, PutKey(KEY, b"{"))
        other = Revocation("node-9")
        await _changed(rig, PutKey(revoked_key(PREFIX, other), encode_revocation(other)))
        assert rig.subnets() == held
        assert rig.loop.world.revoked == (other,)


async def test_drained_host_stays_drained_when_it_is_allowed_again(tmp_path: Path) -> None:
    async with followed(tmp_path) as (rig, _):
        await rig.leasing.drain()
        await _changed(rig, PutKey(KEY, encode_revocation(US)))
        await _changed(rig, DeleteKey(KEY))
        assert rig.subnets() == []
        assert rig.condition(ConditionType.LEASE_VALID).reason == "Drained"
