"""Records and claims of cloud routes in a real etcd: what makes the removal of a dead host's route race-free."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Network

import pytest

from flanpy.model.cloud import CloudRecord
from flanpy.store.cloud_routes import EtcdRegistry
from flanpy.store.session.etcd import EtcdSession
from tests.conftest import EtcdSpace

pytestmark = pytest.mark.etcd

SUBNET = IPv4Network("10.50.5.0/24")


def test_claim_is_had_by_one_host_and_only_while_the_subnet_is_unleased(etcd: EtcdSpace) -> None:
    async def run() -> None:
        async with EtcdSession(etcd.settings) as session:
            one, two = (EtcdRegistry(session, etcd.prefix, node) for node in ("h1", "h2"))
            await session.put(f"{etcd.prefix}/subnets/10.50.5.0-24", b"{}")
            assert not await one.claim(SUBNET)
            await session.delete(f"{etcd.prefix}/subnets/10.50.5.0-24")
            both = await asyncio.gather(one.claim(SUBNET), two.claim(SUBNET))
            assert sorted(both) == [False, True]
            # whoever leases the subnet from now on sees the claim, and waits for its end
            await session.put(f"{etcd.prefix}/subnets/10.50.5.0-24", b"{}")
            assert await two.claimed(SUBNET)
            await (one if both[0] else two).release(SUBNET)
            assert not await two.claimed(SUBNET)
            assert not await one.claim(SUBNET)

    asyncio.run(run())


def test_records_outlive_nothing_but_themselves_and_what_cannot_be_read_is_no_proof(etcd: EtcdSpace) -> None:
    async def run() -> None:
        async with EtcdSession(etcd.settings) as session:
            registry = EtcdRegistry(session, etcd.prefix, "h1")
            record = CloudRecord("eni-1", "h1", "rtb-1", ("rtb-1", "rtb-2"))
            await registry.write(SUBNET, record)
            for key, value in (
                ("10.50.6.0-24", b"["),
                ("10.50.7.0-24", b"[]"),
                ("nonsense", b'{"Target":"x"}'),
            ):
                await session.put(f"{etcd.prefix}/cloud/routes/{key}", value)
            assert dict(await registry.records()) == {SUBNET: record}
            kept = await session.get(f"{etcd.prefix}/cloud/routes/10.50.5.0-24")
            assert kept is not None
            assert kept.lease_id == 0
            await registry.remove(SUBNET)
            assert dict(await registry.records()) == {}

    asyncio.run(run())


def test_own_lease_lets_its_host_claim_and_a_lease_of_another_host_lets_nobody_else(etcd: EtcdSpace) -> None:
    async def run() -> None:
        async with EtcdSession(etcd.settings) as session:
            one, two, nameless = (EtcdRegistry(session, etcd.prefix, node) for node in ("h1", "h2", ""))
            key = f"{etcd.prefix}/subnets/10.50.5.0-24"
            await session.put(key, b'{"PublicIP":"10.99.0.1","BackendType":"aws-vpc","NodeID":"h1"}')
            assert not await two.claim(SUBNET)
            assert not await nameless.claim(SUBNET)
            assert await one.claim(SUBNET)
            assert not await one.claim(SUBNET)  # one removal at a time
            assert await two.claimed(SUBNET)
            await one.release(SUBNET)
            assert not await two.claimed(SUBNET)
            for value in (b"nonsense", b'{"PublicIP":"10.99.0.1"}'):  # of flannel, or of whoever
                await session.put(key, value)
                assert not await nameless.claim(SUBNET)

    asyncio.run(run())
