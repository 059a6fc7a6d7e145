"""Slices of named networks under everything at once: no two hosts ever have the same, and each gets one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from flanpy.errors import StoreError
from flanpy.model.lease import LeaseRecord
from flanpy.model.networks.definition import NamedNetwork, render_definition
from flanpy.store.networks.book import Book
from flanpy.store.networks.keys import network_key, networks_prefix, pool_of, slices_prefix
from flanpy.store.networks.steps import Wish, joined, next_steps
from flanpy.store.port import DeleteKey, Deletion, Delta, KeyValue, Snapshot, Stale, Txn
from tests.fakes.etcd import FakeEtcd, FakeSession
from tests.model.test_named_networks import SHOP

PREFIX = "/coreos.com/network"
SMALL = replace(SHOP, subnet=IPv4Network("10.96.0.0/26"), slice_len=29)
"""Room for eight hosts."""

LAB = replace(SMALL, name="lab", id="b2", subnet=IPv4Network("10.97.0.0/26"), vni=10_002)


class Host:
    """One host's view of etcd, and its writes, a step at a time."""

    def __init__(self, number: int, etcd: FakeEtcd) -> None:
        self.session = FakeSession(etcd)
        self.node_id = f"node-{number}"
        self.record = LeaseRecord(IPv4Address("192.0.2.0") + number, node_id=self.node_id)
        self.previous: dict[str, IPv4Network] = {}
        self.rng = Random(number)
        self.book = Book(PREFIX)
        self.held: tuple[Txn, ...] = ()

    async def look(self) -> None:
        self.book = self.book.networks_news(await self.session.list(networks_prefix(PREFIX)))
        self.book = self.book.slices_news(await self.session.list(slices_prefix(PREFIX)))

    def decide(self) -> Mapping[str, str]:
        steps = next_steps(self.book, Wish(self.record, self.previous), self.rng)
        self.held = steps.writes
        return steps.refused

    async def write(self) -> None:
        for txn in self.held:
            await self.session.txn(txn)
        self.held = ()

    async def turn(self) -> Mapping[str, str]:
        await self.look()
        refused = self.decide()
        await self.write()
        return refused

    @property
    def slices(self) -> dict[str, IPv4Network]:
        return {one.network.name: one.slice for one in joined(self.book, self.node_id).networks}


def define(etcd: FakeEtcd, network: NamedNetwork) -> None:
    key = network_key(PREFIX, network.name)
    asyncio.run(FakeSession(etcd).put(key, render_definition(network)))


def held(etcd: FakeEtcd) -> list[KeyValue]:
    return list(etcd.find(slices_prefix(PREFIX)))


class Slices(RuleBasedStateMachine):
    """Hosts that decide on old views, lose answers and start again, while networks come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.etcd = FakeEtcd()
        self.hosts = [Host(number, self.etcd) for number in range(1, 6)]
        self.runner = asyncio.Runner()

    def run(self, call: Any) -> None:
        self.runner.run(call)

    @rule(network=st.sampled_from([SMALL, LAB]))
    def define(self, network: NamedNetwork) -> None:
        self.run(FakeSession(self.etcd).put(network_key(PREFIX, network.name), render_definition(network)))

    @rule(network=st.sampled_from([SMALL, LAB]))
    def remove(self, network: NamedNetwork) -> None:
        gone = (
            DeleteKey(network_key(PREFIX, network.name)),
            DeleteKey(slices_prefix(PREFIX, network.name), prefix=True),
        )
        self.run(FakeSession(self.etcd).txn(Txn((), gone)))

    @rule(at=st.integers(0, 4))
    def look(self, at: int) -> None:
        self.run(self.hosts[at].look())

    @rule(at=st.integers(0, 4))
    def decide(self, at: int) -> None:
        """The writes wait, and may be sent long after."""
        if self.hosts[at].book.listed:
            self.hosts[at].decide()

    @rule(at=st.integers(0, 4), lost=st.booleans())
    def write(self, at: int, lost: bool) -> None:
        host = self.hosts[at]
        if lost and host.held:
            host.session.lose_answer("txn")

        async def write() -> None:
            try:
                await host.write()
            except StoreError:
                host.held = ()

        self.run(write())

    @rule(at=st.integers(0, 4))
    def restart(self, at: int) -> None:
        self.hosts[at].book, self.hosts[at].held = Book(PREFIX), ()

    @invariant()
    def no_address_is_in_two_slices(self) -> None:
        for network in (SMALL, LAB):
            prefix = slices_prefix(PREFIX, network.name)
            found = sorted(
                IPv4Network(kv.key.removeprefix(prefix).replace("-", "/"))
                for kv in held(self.etcd)
                if kv.key.startswith(prefix)
            )
            assert not any(a.overlaps(b) for a, b in pairwise(found))
            assert all(one.subnet_of(network.subnet) for one in found)

    @invariant()
    def no_slice_is_left_of_a_network_that_is_gone(self) -> None:
        defined = {
            kv.key.removeprefix(networks_prefix(PREFIX)) for kv in self.etcd.find(networks_prefix(PREFIX))
        }
        assert {kv.key.removeprefix(slices_prefix(PREFIX)).split("/")[0] for kv in held(self.etcd)} <= defined

    def teardown(self) -> None:
        """After a calm each host has one slice of each network."""
        for _ in range(3):
            for host in self.hosts:
                self.run(host.turn())
        defined = len(self.etcd.find(networks_prefix(PREFIX)))
        for host in self.hosts:
            self.run(host.look())
            assert len(host.slices) == defined
        assert len(held(self.etcd)) == defined * len(self.hosts)
        self.runner.close()


def test_no_slice_is_given_twice() -> None:
    run_state_machine_as_test(
        Slices, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )


@pytest.mark.asyncio
async def test_slices_run_out_with_one_clear_line() -> None:
    etcd = FakeEtcd()
    await FakeSession(etcd).put(network_key(PREFIX, "shop"), render_definition(SMALL))
    for number in range(1, 9):
        assert await Host(number, etcd).turn() == {}
    refused = await Host(9, etcd).turn()
    assert "no free subnet: all 8 of /29 in 10.96.0.0/26 are taken" in refused["shop"]


@pytest.mark.asyncio
async def test_host_gets_the_slice_that_it_had_and_keeps_its_address_up_to_date() -> None:
    etcd = FakeEtcd()
    await FakeSession(etcd).put(network_key(PREFIX, "shop"), render_definition(SMALL))
    host = Host(1, etcd)
    host.previous = {SMALL.id: IPv4Network("10.96.0.40/29")}
    await host.turn()
    await host.look()
    assert host.slices == {"shop": IPv4Network("10.96.0.40/29")}
    host.record = replace(host.record, public_ip=IPv4Address("192.0.2.200"))
    await host.turn()
    assert b"192.0.2.200" in held(etcd)[0].value
    host.decide()
    await host.look()
    host.decide()
    assert host.held == ()


@pytest.mark.asyncio
async def test_range_of_an_unreadable_slice_stays_taken() -> None:
    etcd = FakeEtcd()
    session = FakeSession(etcd)
    await session.put(network_key(PREFIX, "shop"), render_definition(SMALL))
    await session.put(f"{slices_prefix(PREFIX, 'shop')}10.96.0.0-27", b"junk")
    host = Host(1, etcd)
    await host.turn()
    await host.look()
    assert int(host.slices["shop"].network_address) >= int(IPv4Address("10.96.0.32"))


@pytest.mark.asyncio
async def test_members_are_the_other_hosts_that_have_a_slice() -> None:
    etcd = FakeEtcd()
    await FakeSession(etcd).put(network_key(PREFIX, "shop"), render_definition(SMALL))
    hosts = [Host(number, etcd) for number in (3, 1, 2)]
    for host in hosts:
        await host.turn()
    await hosts[0].look()
    (one,) = joined(hosts[0].book, "node-3").networks
    assert one.members == (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))


def test_lost_etcd_takes_nothing_and_one_without_its_past_gets_it_back() -> None:
    definition = KeyValue(network_key(PREFIX, "shop"), render_definition(SMALL), 5, 5, 1, 0)
    value = b'{"PublicIP":"192.0.2.1","PublicIPv6":null,"NodeID":"node-1"}'
    mine = KeyValue(f"{slices_prefix(PREFIX, 'shop')}10.96.0.8-29", value, 6, 6, 1, 0)
    book = Book(PREFIX).networks_news(Snapshot((definition,), 6)).slices_news(Snapshot((mine,), 6))
    stale = book.slices_news(Stale("gone")).networks_news(Stale("gone"))
    assert joined(stale, "node-1").networks == joined(book, "node-1").networks != ()
    wiped = book.networks_news(Snapshot((), 2, "history_replaced")).slices_news(
        Snapshot((), 2, "history_replaced")
    )
    assert joined(wiped, "node-1").networks == joined(book, "node-1").networks
    steps = next_steps(wiped, Wish(LeaseRecord(IPv4Address("192.0.2.1"), node_id="node-1"), {}), Random(0))
    assert [txn.success[0].key for txn in steps.writes] == [definition.key, mine.key]
    listed_again = wiped.networks_news(Snapshot((), 3)).slices_news(Snapshot((), 3))
    assert listed_again.lost == wiped.lost
    assert listed_again.networks_news(Snapshot((definition,), 4)).networks.lost == ()
    removed = wiped.networks_news(Delta((), (Deletion(definition.key, 3),), 3))
    assert joined(removed, "node-1").networks == ()


@pytest.mark.parametrize(
    ("subnet6", "last"),
    [(None, "10.96.0.56"), ("fd00:96::/64", "10.96.0.48"), ("fd00:96::/80", "10.96.0.56")],
)
def test_last_slice_is_left_out_where_docker_cannot_count_its_ipv6_addresses(
    subnet6: str | None, last: str
) -> None:
    network = replace(SMALL, subnet6=IPv6Network(subnet6) if subnet6 else None)
    assert str(pool_of(network).subnet_max) == last


def test_bad_definition_is_named_and_touches_no_other() -> None:
    good = KeyValue(network_key(PREFIX, "shop"), render_definition(SMALL), 5, 5, 1, 0)
    bad = KeyValue(network_key(PREFIX, "bad"), b"{}", 5, 5, 1, 0)
    book = Book(PREFIX).networks_news(Snapshot((good, bad), 6)).slices_news(Snapshot((), 6))
    assert list(book.known) == ["shop"]
    assert "bad" in book.invalid
