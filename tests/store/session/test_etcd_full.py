"""An etcd that ran out of space."""

from __future__ import annotations

import pytest

from flanpy.errors import StoreError, StoreUnavailable
from flanpy.store.session.etcd import EtcdSession
from tests.etcd_server import EtcdCluster

pytestmark = pytest.mark.etcd


async def fill(session: EtcdSession) -> None:
    """Write until etcd refuses, which it does from its next commit on, a tenth of a second later."""
    for number in range(20_000):
        await session.put(f"/fill/{number % 100}", b"x" * 20_000)


@pytest.mark.asyncio
async def test_p31_write_error_names_the_cure_when_etcd_is_out_of_space_and_reads_go_on() -> None:
    with EtcdCluster.started("--quota-backend-bytes=200000") as etcd:
        async with EtcdSession(etcd.settings()) as session:
            await session.put("/a", b"1")
            with pytest.raises(StoreError, match=r"out of space .* etcdctl alarm disarm") as caught:
                await fill(session)
            assert not isinstance(caught.value, StoreUnavailable), "trying again does not help"
            assert await session.get("/a") is not None
            assert session.stats.outage_since is None
            assert any("NOSPACE" in error for error in (await session.status()).errors)
