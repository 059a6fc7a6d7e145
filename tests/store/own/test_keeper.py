"""The keeper on a real etcd: crowds, losses, conflicts, restarts, outages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from flanpy.model.lease import Lease, SubnetKey
from flanpy.store.own.own_lease import LeaseSource, LeaseTerms, OwnLeaseState
from flanpy.store.schema import encode_record, subnets_prefix
from flanpy.store.session.etcd import EtcdSession
from tests.conftest import EtcdSpace
from tests.etcd_server import EtcdCluster
from tests.store.own.lease_hosts import DUAL, Host, keys_in, network, overlaps, record, until

pytestmark = [pytest.mark.etcd, pytest.mark.asyncio]


@asynccontextmanager
async def living(*hosts: Host) -> AsyncIterator[None]:
    """All hosts' watches and keepers run; an end of any of them fails the test."""
    tasks = [asyncio.create_task(host.live()) for host in hosts]
    try:
        yield
        assert [task for task in tasks if task.done()] == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("more", [{}, DUAL], ids=["ipv4", "dual-stack"])
async def test_p26_fifty_keepers_get_distinct_leases_when_they_start_at_once_on_sixty_subnets(
    etcd: EtcdSpace, more: dict[str, Any]
) -> None:
    config = network("10.50.0.0/16", SubnetMin="10.50.1.0", SubnetMax="10.50.60.0", **more)
    async with EtcdSession(etcd.settings) as session:
        hosts = [Host(number, session, etcd.prefix, config) for number in range(1, 51)]
        async with living(*hosts):
            await until(lambda: all(host.lease for host in hosts), "50 leases")
        keys = await keys_in(session, etcd.prefix)
    assert {str(host.lease.key) for host in hosts if host.lease} == set(keys)
    assert len(keys) == 50
    assert overlaps(keys) == []


async def test_keeper_adopts_its_own_lease_when_restarted_at_once(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        await host.steps()
        first = host.lease
        host.disk = None
        host.start()
        await host.steps()
        assert first is not None
        assert host.lease == first
        assert len(await keys_in(session, etcd.prefix)) == 1


async def test_p25_lease_is_taken_again_on_the_same_subnet_when_the_key_is_deleted(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        async with living(host):
            await until(lambda: host.lease, "a lease")
            first = host.lease
            assert first is not None
            await session.delete(f"{subnets_prefix(etcd.prefix)}{first.key}")
            await until(lambda: host.lease and host.lease.create_revision > first.create_revision, "again")
            assert host.lease is not None
            assert host.lease.key == first.key
            assert all(state.lease is not None for state in host.states)


async def test_p25_lease_is_taken_again_on_the_same_subnet_when_the_etcd_lease_ended(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        async with living(host):
            await until(lambda: host.lease, "a lease")
            first = host.lease
            assert first is not None
            await session.revoke(first.lease_id)
            await until(lambda: host.lease and host.lease.lease_id != first.lease_id, "again")
            assert host.lease is not None
            assert host.lease.key == first.key


async def test_p25_lease_is_taken_again_on_the_same_subnet_when_etcd_lost_all_data(
    etcd_server: EtcdCluster,
) -> None:
    async with EtcdSession(etcd_server.settings()) as session:
        hosts = [Host(number, session, "/net", network()) for number in (1, 2, 3)]
        async with living(*hosts):
            await until(lambda: all(host.lease for host in hosts), "leases")
            before = {host.number: str(host.lease.key) for host in hosts if host.lease}
            await asyncio.to_thread(etcd_server.wipe)

            async def back() -> bool:
                with suppress(Exception):
                    return set(await keys_in(session, "/net")) == set(before.values())
                return False

            await until(back, "every subnet registered again")
        assert {host.number: str(host.lease.key) for host in hosts if host.lease} == before


async def test_p25_keeper_renews_before_a_third_of_the_ttl_is_over_and_never_loses_the_key(
    etcd: EtcdSpace,
) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network(), terms=LeaseTerms(ttl=3))
        async with living(host):
            await until(lambda: host.lease, "a lease")
            first = host.lease
            await until(lambda: host.line.calls.count("keep_alive") >= 4, "four keep-alives")
            (found,) = (await keys_in(session, etcd.prefix)).values()
        assert first is not None
        assert found.create_revision == first.create_revision


async def test_p26_keeper_yields_when_another_node_has_its_subnet_until_it_is_freed(
    etcd: EtcdSpace,
) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        async with living(host):
            await until(lambda: host.lease, "a lease")
            lease = host.lease
            assert lease is not None
            path = f"{subnets_prefix(etcd.prefix)}{lease.key}"
            await session.put(path, encode_record(record(2, "node-2")), await session.grant(600))
            await until(lambda: host.keeper.state.conflict, "the conflict")
            assert "node-2" in host.keeper.state.conflict
            assert host.keeper.state.lease is not None  # the data plane stays
            found = (await keys_in(session, etcd.prefix))[str(lease.key)]
            assert found.value == encode_record(record(2, "node-2"))
            await session.delete(path)
            await until(lambda: not host.keeper.state.conflict, "the end of the conflict")
            (found,) = (await keys_in(session, etcd.prefix)).values()
            assert found.value == encode_record(record(1, "node-1"))


async def test_p27_public_ip_is_rewritten_in_place_when_the_underlay_address_changes(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        async with living(host):
            await until(lambda: host.lease, "a lease")
            first = host.lease
            assert first is not None
            moved = replace(record(1, "node-1"), public_ip=IPv4Address("10.99.7.7"))
            host.keeper.want(host.network, moved)
            await until(lambda: host.lease and host.lease.record == moved, "the new address")
            (found,) = (await keys_in(session, etcd.prefix)).values()
        assert found.value == encode_record(moved)
        assert (found.create_revision, found.lease_id) == (first.create_revision, first.lease_id)


async def test_p27_keeper_finds_its_lease_by_node_id_when_its_address_changed_meanwhile(
    etcd: EtcdSpace,
) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        await host.steps()
        first = host.lease
        host.start()
        host.keeper.want(host.network, replace(record(1, "node-1"), public_ip=IPv4Address("10.99.7.7")))
        await host.steps()
        assert first is not None
        assert host.lease is not None
        assert (host.lease.key, host.lease.create_revision) == (first.key, first.create_revision)


async def test_keeper_takes_over_flannels_lease_in_place_when_it_bears_our_public_ip(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        path = f"{subnets_prefix(etcd.prefix)}10.50.75.0-24"
        flannels = await session.grant(86400)
        await session.put(path, encode_record(record(1)), flannels)
        host = Host(1, session, etcd.prefix, network())
        await host.steps()
        (found,) = (await keys_in(session, etcd.prefix)).values()
    assert found.key == path
    assert found.value == encode_record(record(1, "node-1"))
    assert found.lease_id == flannels


async def test_p21_duplicate_public_ip_is_named_and_the_other_nodes_lease_left_alone(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        theirs = encode_record(record(1, "node-other"))
        path = f"{subnets_prefix(etcd.prefix)}10.50.75.0-24"
        await session.put(path, theirs, await session.grant(600))
        host = Host(1, session, etcd.prefix, network())
        await host.steps()
        keys = await keys_in(session, etcd.prefix)
    assert keys["10.50.75.0-24"].value == theirs
    assert len(keys) == 2
    assert "node-other" in host.keeper.state.duplicate_ip
    assert "node-1" in host.keeper.state.duplicate_ip


async def test_node_id_used_twice_is_named_and_nothing_written_when_a_machine_was_copied(
    etcd: EtcdSpace,
) -> None:
    async with EtcdSession(etcd.settings) as session:
        first = Host(1, session, etcd.prefix, network(), node="same")
        await first.steps()
        copy = Host(2, session, etcd.prefix, network(), node="same")
        await copy.steps()
        assert copy.lease is None
        assert "node id same is also used" in copy.keeper.state.waiting
        assert len(await keys_in(session, etcd.prefix)) == 1


async def test_p28_keeper_waits_when_all_subnets_are_taken_and_leases_one_when_it_is_freed(
    etcd: EtcdSpace,
) -> None:
    config = network("10.50.0.0/22", SubnetLen=24)  # three subnets: the first is left out
    async with EtcdSession(etcd.settings) as session:
        hosts = [Host(number, session, etcd.prefix, config) for number in (1, 2, 3, 4, 5)]
        async with living(*hosts):
            await until(lambda: sum(host.lease is not None for host in hosts) == 3, "three leases")
            late = [host for host in hosts if host.lease is None]
            await until(
                lambda: all("no free subnet: all 3" in host.keeper.state.waiting for host in late), "waiting"
            )
            given_up = next(host for host in hosts if host.lease is not None)
            assert await given_up.keeper.release()
            await until(lambda: any(host.lease for host in late), "the freed subnet")
            keys = await keys_in(session, etcd.prefix)
        assert len(keys) == 3
        assert overlaps(keys) == []


async def test_p29_reservation_stays_one_when_its_owner_takes_it_up(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        path = f"{subnets_prefix(etcd.prefix)}10.50.200.0-24"
        await session.put(
            path,
            encode_record(
                replace(record(0), public_ip=None, node_id="node-1", backend_type="", backend_data=None)
            ),
        )
        host = Host(1, session, etcd.prefix, network())
        pause = await host.steps()
        (found,) = (await keys_in(session, etcd.prefix)).values()
    assert (found.key, found.lease_id) == (path, 0)
    assert found.value == encode_record(record(1, "node-1"))
    assert host.keeper.state.expires_at is None
    assert pause == float("inf")


async def test_p29_reservation_for_others_is_not_taken_when_subnets_run_out(etcd: EtcdSpace) -> None:
    config = network("10.50.0.0/22", SubnetLen=24)
    async with EtcdSession(etcd.settings) as session:
        for number in (1, 2, 3):
            await session.put(
                f"{subnets_prefix(etcd.prefix)}10.50.{number}.0-24", encode_record(record(50 + number))
            )
        host = Host(1, session, etcd.prefix, config)
        await host.steps()
        assert host.lease is None
        assert "no free subnet" in host.keeper.state.waiting


@pytest.mark.parametrize("fault", ["before", "after", "late"])
@pytest.mark.parametrize("position", range(6))
async def test_p26_keeper_ends_with_one_lease_when_any_one_call_or_answer_is_lost(
    etcd: EtcdSpace, fault: str, position: int
) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        host.line.faults = [""] * position + [fault]
        await host.steps()
        await host.steps()
        await host.line.deliver_late()
        await host.steps()
        keys = await keys_in(session, etcd.prefix)
        assert host.lease is not None
        assert list(keys) == [str(host.lease.key)]


async def test_p15_lease_from_disk_is_published_when_etcd_is_away_and_confirmed_when_it_returns(
    etcd_server: EtcdCluster,
) -> None:
    async with EtcdSession(etcd_server.settings(timeout=1.0)) as session:
        host = Host(1, session, "/net", network())
        await host.steps()
        lease = host.lease
        await asyncio.to_thread(etcd_server.stop)
        host.in_use = False
        host.terms = LeaseTerms(offline_after=0.3)
        host.states.clear()
        host.start()
        async with living(host):
            await until(lambda: host.keeper.state.source is LeaseSource.DISK, "the lease from disk")
            assert host.lease is not None
            assert lease is not None
            assert host.lease.key == lease.key
            await asyncio.to_thread(etcd_server.start)
            await until(lambda: host.keeper.state.source is LeaseSource.ETCD, "etcd's word")
        assert host.lease.key == lease.key


async def test_lease_that_was_not_in_use_yet_is_given_up_when_another_node_took_it_meanwhile(
    etcd: EtcdSpace,
) -> None:
    key = SubnetKey(IPv4Network("10.50.9.0/24"))
    async with EtcdSession(etcd.settings) as session:
        await session.put(f"{subnets_prefix(etcd.prefix)}{key}", encode_record(record(2, "node-2")))
        host = Host(
            1, session, etcd.prefix, network(), disk=Lease(key, record(1, "node-1"), 7, 1, 1), in_use=False
        )
        await host.steps()
        assert host.lease is not None
        assert host.lease.key != key


async def test_previous_subnet_is_leased_again_when_it_is_free(etcd: EtcdSpace) -> None:
    key = SubnetKey(IPv4Network("10.50.222.0/24"))
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network(), previous=key)
        await host.steps()
        assert host.lease is not None
        assert host.lease.key == key


async def test_running_keeper_stays_on_its_subnet_when_the_network_config_excludes_it(
    etcd: EtcdSpace,
) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network("10.50.0.0/16"))
        await host.steps()
        first = host.lease
        host.keeper.want(network("10.60.0.0/16"), record(1, "node-1"))
        await host.steps()
        assert host.lease == first
        assert "10.60.0.0/16" in host.keeper.state.restart_needed
        host.network = network("10.60.0.0/16")
        host.start()
        await host.steps()
        assert host.lease is not None
        assert first is not None
        assert host.lease.key.subnet is not None
        assert host.lease.key.subnet.subnet_of(IPv4Network("10.60.0.0/16"))
        assert host.keeper.state.moved_from == first.key
        assert list(await keys_in(session, etcd.prefix)) == [str(host.lease.key)]


async def test_lease_gains_ipv6_and_keeps_its_ipv4_subnet_when_the_network_became_dual_stack(
    etcd: EtcdSpace,
) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        await host.steps()
        first = host.lease
        host.network = network(**DUAL)
        host.start()
        await host.steps()
        assert first is not None
        assert host.lease is not None
        assert host.lease.key.subnet == first.key.subnet
        assert host.lease.key.subnet6 is not None
        assert list(await keys_in(session, etcd.prefix)) == [str(host.lease.key)]


async def test_p16_own_lease_is_repaired_when_its_value_was_overwritten_with_garbage(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        async with living(host):
            await until(lambda: host.lease, "a lease")
            lease = host.lease
            assert lease is not None
            await session.put(f"{subnets_prefix(etcd.prefix)}{lease.key}", b"\xff{garbage")
            want = encode_record(record(1, "node-1"))

            async def repaired() -> bool:
                return (await keys_in(session, etcd.prefix))[str(lease.key)].value == want

            await until(repaired, "the repair")


async def test_p16_lease_is_had_when_a_stray_key_covers_everything(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        for key in ("0.0.0.0-0", "10.0.0.0-8", "garbage", "10.50.0.0-16"):
            await session.put(f"{subnets_prefix(etcd.prefix)}{key}", encode_record(record(9)))
        host = Host(1, session, etcd.prefix, network())
        async with living(host):
            await until(lambda: host.lease, "a lease")
            lease = host.lease
            assert lease is not None
            await session.delete(f"{subnets_prefix(etcd.prefix)}{lease.key}")
            await until(lambda: host.lease and host.lease.create_revision > lease.create_revision, "again")
            assert host.lease is not None
            assert host.lease.key == lease.key


async def test_release_deletes_the_key_and_the_etcd_lease_and_takes_nothing_again(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        await host.steps()
        assert await host.keeper.release()
        await host.steps()
        assert await keys_in(session, etcd.prefix) == {}
        assert host.disk is None
        assert host.keeper.state == replace(OwnLeaseState(), waiting="drained", drained=True)


async def test_etcd_lease_is_bound_anew_when_the_configured_ttl_changed(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        await host.steps()
        first = host.lease
        host.terms = LeaseTerms(ttl=600)
        host.start()
        await host.steps()
        assert first is not None
        assert host.lease is not None
        assert (await session.time_to_live(host.lease.lease_id)).granted == 600
        assert host.lease.create_revision == first.create_revision


async def test_idle_keeper_asks_etcd_nothing_when_only_others_change(etcd: EtcdSpace) -> None:
    async with EtcdSession(etcd.settings) as session:
        host = Host(1, session, etcd.prefix, network())
        await host.steps()
        asked = len(host.line.calls)
        for number in range(2, 12):
            await session.put(
                f"{subnets_prefix(etcd.prefix)}10.50.{200 + number}.0-24", encode_record(record(number))
            )
            await host.steps()
        assert len(host.line.calls) == asked
