"""The set of hosts and the rules that ask it, in a real kernel: what is put is what is read back, and then goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from typing import TypeVar

import pytest

from flanpy.backend import choice
from flanpy.model.address import Family
from flanpy.model.networks.view import Joined, NamedView
from flanpy.model.objects import KernelObject
from flanpy.model.ops import Delete, Objects, Op, OpFailure, Put, Scope
from flanpy.model.packet_filter import (
    MEMBERS,
    NFT_TABLE,
    EncapsulationGuard,
    FilterMember,
    FilterPolicy,
    Flavour,
)
from flanpy.model.world import World
from flanpy.netfilter.counters import counts
from flanpy.netfilter.elements import Elements, NotThere
from flanpy.netfilter.look import Looker
from flanpy.netfilter.nfnetlink import drain, open_events
from flanpy.netfilter.part import FilterPart
from flanpy.plan.diff import cleanup_ops, diff, objects_by_key
from flanpy.plan.ownership import Observed, split
from tests.model.test_named_networks import SHOP
from tests.netfilter.test_planner import moving, with_named
from tests.netfilter.worlds import Namespace, facts, filtered, namespace
from tests.states import DUAL, crowd

pytestmark = pytest.mark.netns

T = TypeVar("T")
STRANGERS = FilterPolicy(encapsulation=EncapsulationGuard.STRANGERS)
EVERYBODY: dict[Family, list[FilterMember]] = {
    Family.IPV4: [FilterMember(IPv4Address("192.0.2.0") + number) for number in range(2500)],
    Family.IPV6: [FilterMember(IPv6Address("2001:db8::") + number) for number in range(2500)],
}


@pytest.fixture
def ns() -> Iterator[Namespace]:
    with namespace() as one:
        yield one


def _with_part(ns: Namespace, work: Callable[[FilterPart], T]) -> T:
    def inside() -> T:
        part = FilterPart()
        try:
            return work(part)
        finally:
            part.close()

    return ns.inside(inside)


def _apply(part: FilterPart, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
    return asyncio.run(part.apply(ops))


def _read(part: FilterPart) -> Objects:
    return asyncio.run(part.read_back(Scope()))


WORLDS: dict[str, World] = {
    "both families": crowd(2, DUAL),
    "from vxlan to udp": moving(),
    "named": with_named(crowd(2)),
}


@pytest.mark.parametrize("flavour", Flavour, ids=lambda flavour: flavour.value)
@pytest.mark.parametrize("title", WORLDS)
def test_rules_and_hosts_are_read_back_as_they_were_put_and_leave_no_trace(
    ns: Namespace, flavour: Flavour, title: str
) -> None:
    rules: list[KernelObject] = [*filtered(facts(flavour), WORLDS[title], STRANGERS)]
    hosts = [FilterMember(ip_address(text)) for text in ("192.0.2.11", "192.0.2.12", "2001:db8::b")]
    legacy = flavour is Flavour.IPTABLES_LEGACY
    wanted = objects_by_key([*rules, *([] if legacy else hosts)])

    def work(part: FilterPart) -> None:
        assert _apply(part, diff(wanted, Observed()).ops) == ()
        assert _read(part) == wanted
        for op in cleanup_ops(split(_read(part))):  # one at a time, as a cleanup that is interrupted does
            assert _apply(part, (op,)) == ()
        assert _read(part) == {}

    _with_part(ns, work)
    left = ns.run("nft", "list", "tables").split()
    assert "flanpy" not in left


@pytest.mark.parametrize("family", Family, ids=lambda family: family.name)
def test_crowd_is_put_read_and_taken_out_again(ns: Namespace, family: Family) -> None:
    crowded = EVERYBODY[family]

    def work(part: FilterPart) -> None:
        assert _apply(part, [Put(one) for one in crowded]) == ()
        assert set(_read(part).values()) == set(crowded)
        assert _apply(part, [Put(crowded[0])]) == ()
        assert _apply(part, [*(Delete(one) for one in crowded[:2000]), Put(crowded[0])]) == ()
        assert set(_read(part).values()) == {crowded[0], *crowded[2000:]}
        # some of these are gone already
        assert _apply(part, [Delete(one) for one in crowded]) == ()
        assert _read(part) == {}
        assert _apply(part, [Delete(crowded[0])]) == ()

    _with_part(ns, work)


def test_chain_that_goes_leaves_hosts_in_the_set_until_they_go(ns: Namespace) -> None:
    one, rules = EVERYBODY[Family.IPV4][1], filtered(facts(Flavour.NFT), policy=STRANGERS)

    def work(part: FilterPart) -> None:
        assert _apply(part, [Put(one), *map(Put, rules)]) == ()
        assert _apply(part, [*map(Delete, rules)]) == ()
        assert [*_read(part).values()] == [one]

    _with_part(ns, work)


def test_changes_of_the_set_alone_are_no_news_of_rules(ns: Namespace) -> None:
    one, other, third = EVERYBODY[Family.IPV4][1:4]

    def work(part: FilterPart) -> None:
        events, looker = open_events(), Looker(own_writes=part.own_writes)
        assert events is not None
        try:
            _apply(part, [Put(one)])
            assert drain(events, own=part._members.port)  # the set was made, by nft
            before = looker.signature()
            _apply(part, [Put(other)])
            _apply(part, [Delete(other)])
            assert not drain(events, own=part._members.port)
            assert looker.signature() == before
            ns.run("nft", "add", "element", "ip", "flanpy", "members", f"{{ {third.address} }}")
            assert drain(events, own=part._members.port)
            assert looker.signature() != before
        finally:
            events.close()
            looker.close()

    _with_part(ns, work)


def test_set_that_is_not_there_is_said_not_to_be(ns: Namespace) -> None:
    def work() -> None:
        elements = Elements("nobody", "nothing")
        try:
            with pytest.raises(NotThere, match="no such set"):
                elements.read(Family.IPV4)
            with pytest.raises(NotThere):
                elements.change(Family.IPV6, [bytes(16)], [])
            assert elements.change(Family.IPV4, [], []) == 0
        finally:
            elements.close()

    ns.inside(work)


def test_elements_that_others_put_with_more_than_an_address_are_read(ns: Namespace) -> None:
    ns.run("nft", "add table ip flanpy; add set ip flanpy members { type ipv4_addr; flags timeout; }")
    ns.run("nft", 'add element ip flanpy members { 192.0.2.1 timeout 1h, 192.0.2.2 comment "x" }')

    def work(part: FilterPart) -> None:
        assert {str(one.address) for one in _read(part).values() if isinstance(one, FilterMember)} == {
            "192.0.2.1",
            "192.0.2.2",
        }

    _with_part(ns, work)


def test_elements_of_somebody_elses_set_that_are_no_addresses_are_left_out(ns: Namespace) -> None:
    ns.run("nft", "add table ip flanpy; add set ip flanpy members { type ether_addr; }")
    ns.run("nft", "add element ip flanpy members { 02:00:00:00:00:01 }")

    def work(part: FilterPart) -> None:
        assert [one for one in _read(part).values() if isinstance(one, FilterMember)] == []

    _with_part(ns, work)


def test_only_counters_of_our_table_are_told(ns: Namespace) -> None:
    for family, packets in (("ip", 3), ("ip6", 4)):
        for table in ("flanpy", "other"):
            ns.run(
                "nft",
                f"add table {family} {table};"
                f" add counter {family} {table} strangers {{ packets {packets} bytes 9; }}",
            )
    assert sorted(ns.inside(lambda: list(counts()))) == [
        (Family.IPV4, "strangers", 3),
        (Family.IPV6, "strangers", 4),
    ]


def test_planner_of_a_world_without_sets_names_no_hosts() -> None:
    def members(flavour: Flavour, policy: FilterPolicy = STRANGERS) -> list[str]:
        one = crowd(2)
        guarded = replace(one, filter=facts(flavour), policy=replace(one.policy, filter=policy))
        planned = choice.plan(guarded, [lease for lease in one.view.leases.values() if lease != one.own])
        assert planned is not None
        return sorted(str(obj.address) for obj in planned.values() if isinstance(obj, FilterMember))

    assert members(Flavour.IPTABLES_LEGACY) == []
    assert members(Flavour.NFT, FilterPolicy(encapsulation=EncapsulationGuard.OFF)) == []
    assert members(Flavour.IPTABLES_NFT) == ["192.0.2.10", "192.0.2.11", "192.0.2.12"]


def test_members_of_named_networks_on_the_disk_are_let_in_until_etcd_tells_of_hosts() -> None:
    def members(*, listed: bool) -> set[str]:
        shop = Joined(
            SHOP, IPv4Network("10.96.3.0/24"), (IPv4Address("192.0.2.77"), IPv6Address("2001:db8::9"))
        )
        world = replace(crowd(0), filter=facts(Flavour.IPTABLES_NFT), named=NamedView((shop,), listed=listed))
        return {
            str(obj.address)
            for obj in (choice.plan(world, ()) or {}).values()
            if isinstance(obj, FilterMember)
        }

    assert members(listed=False) == {"192.0.2.10", "192.0.2.77"}
    assert members(listed=True) == {"192.0.2.10"}


class CountedElements(Elements):
    """Knows how often the kernel was asked for them."""

    def __init__(self) -> None:
        super().__init__(NFT_TABLE, MEMBERS)
        self.reads = 0

    def read(self, family: Family) -> list[bytes]:
        self.reads += 1
        return super().read(family)


def test_hosts_that_others_put_or_took_are_seen_and_our_own_cost_no_reading(ns: Namespace) -> None:
    one, other, third = EVERYBODY[Family.IPV4][1:4]

    def hosts(part: FilterPart) -> set[KernelObject]:
        return {obj for obj in _read(part).values() if isinstance(obj, FilterMember)}

    def work(part: FilterPart) -> None:
        part._members._elements = elements = CountedElements()
        _apply(part, [Put(one), Put(other)])
        assert hosts(part) == {one, other}
        elements.reads = 0
        _apply(part, [Put(third), Put(one)])
        _apply(part, [Put(one)])
        _apply(part, [Delete(other)])
        assert hosts(part) == {one, third}
        assert elements.reads == 0
        ns.run("nft", "delete", "element", "ip", "flanpy", "members", f"{{ {one.address} }}")
        ns.run("nft", "add", "element", "ip", "flanpy", "members", f"{{ {other.address} }}")
        assert hosts(part) == {other, third}
        assert elements.reads
        ns.run("nft", "flush", "ruleset")
        assert hosts(part) == set()

    _with_part(ns, work)
