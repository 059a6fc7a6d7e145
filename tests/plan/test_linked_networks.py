"""Linked named networks: the pairs of a host, and the rules that let them talk before Docker keeps them apart."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from flanpy.model.networks.links import LinkPort, NetworkLink, Protocol
from flanpy.model.networks.view import Joined, NamedView
from flanpy.model.packet_filter import FilterChain, FilterFacts, FilterPolicy, Flavour, Verdict
from flanpy.plan.filter_text import iptables_rule
from flanpy.plan.linked_networks import accepted, linked, reaching
from tests.model.test_named_networks import SHOP
from tests.netfilter.worlds import NEW, OLD, facts, filtered
from tests.states import crowd

BILLING = replace(SHOP, name="billing", id="b1", subnet=IPv4Network("10.97.0.0/16"), vni=10_002)
LAB = replace(SHOP, name="lab", id="l1", subnet=IPv4Network("10.98.0.0/16"), vni=10_003)
PORTS = (LinkPort(53, Protocol.UDP), LinkPort(5432), LinkPort(6432))
WAY = "-s 10.96.0.0/16 -d 10.97.0.0/16 -i fb-10001 -o fb-10002"
BACK = "-s 10.97.0.0/16 -d 10.96.0.0/16 -i fb-10002 -o fb-10001"


def on(shop: tuple[NetworkLink, ...] = (), billing: tuple[NetworkLink, ...] = ()) -> tuple[Joined, ...]:
    """Return a host on three networks, two of which have these links."""
    networks = (replace(SHOP, links=shop), replace(BILLING, links=billing), LAB)
    return tuple(Joined(one, IPv4Network((int(one.subnet.network_address) + 256, 24))) for one in networks)


def lines(joined: tuple[Joined, ...], verdict: Verdict = Verdict.ACCEPT) -> list[str]:
    return [iptables_rule(rule) for rule in accepted(linked(joined), verdict)]


def test_networks_are_apart_unless_one_names_the_other_by_its_id() -> None:
    assert linked(on()) == ()
    assert linked(on((NetworkLink("an earlier network of that name"),))) == ()
    for joined in (on((NetworkLink("b1"),)), on((), (NetworkLink(SHOP.id),))):
        assert lines(joined) == [f"{WAY} -j ACCEPT", f"{BACK} -j ACCEPT"]


def test_link_by_ports_lets_answers_back_and_nothing_else() -> None:
    rules = lines(on((NetworkLink("b1", PORTS),)))
    assert rules[:3] == [
        f"{WAY} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"{WAY} -p tcp -m multiport --dports 5432,6432 -j ACCEPT",
        f"{WAY} -p udp -m udp --dport 53 -j ACCEPT",
    ]
    assert rules[3:] == [rule.replace(WAY, BACK) for rule in rules[:3]]


def test_many_ports_are_split_as_iptables_takes_fifteen_at_once() -> None:
    many = tuple(LinkPort(number) for number in range(1, 33))
    ports = [
        rule for rule in lines(on((NetworkLink("b1", many),))) if "dport" in rule and rule.startswith(WAY)
    ]
    assert [rule.count(",") + 1 for rule in ports] == [15, 15, 2]


def test_links_of_both_definitions_count_together() -> None:
    (pair,) = linked(on((NetworkLink("b1", PORTS[:1]),), (NetworkLink(SHOP.id, PORTS[1:]),)))
    assert pair.ports == PORTS
    (pair,) = linked(on((NetworkLink("b1", PORTS),), (NetworkLink(SHOP.id),)))
    assert pair.ports == ()


def test_host_that_is_on_one_of_them_alone_needs_no_rule() -> None:
    assert linked(on((NetworkLink("b1"),))[:1]) == ()


def test_network_that_reaches_nothing_outside_is_linked_with_none() -> None:
    shop, billing, _ = on((NetworkLink("b1"),))
    assert linked((shop, replace(billing, network=replace(billing.network, internal=True)))) == ()


CASES = {
    "Docker 20.10 to 27": (facts(Flavour.IPTABLES_NFT, OLD), [("filter", "FLANPY-FORWARD")]),
    "Docker 28": (facts(Flavour.IPTABLES_NFT, NEW), [("filter", "FLANPY-FORWARD"), ("raw", "FLANPY-RAW")]),
    "Docker 29 with nftables": (facts(Flavour.NFT, OLD), [("flanpy", "overlay")]),
}


@pytest.mark.parametrize("title", CASES)
def test_rules_stand_where_each_engine_would_drop_first(title: str) -> None:
    seen, places = CASES[title]
    found = _chains(seen, (NetworkLink("b1"),))
    without = _chains(seen, ())
    assert [place for place in found if found[place] != without.get(place)] == places
    for place in places:
        new = [rule for rule in found[place].rules if rule not in without[place].rules]
        assert len(new) == 2
        assert found[place].rules[:2] == tuple(new)


def _chains(seen: FilterFacts, links: tuple[NetworkLink, ...]) -> dict[tuple[str, str], FilterChain]:
    world = replace(crowd(2), named=NamedView(on(links)))
    objects = filtered(seen, world, FilterPolicy())
    return {(one.table, one.name): one for one in objects if isinstance(one, FilterChain)}


def test_packets_of_linked_networks_reach_containers_by_either_bridge() -> None:
    rules = reaching(linked(on((NetworkLink("b1"),))))
    assert [iptables_rule(rule) for rule in rules] == [
        "-s 10.96.0.0/16 -d 10.97.0.0/16 -i fb-10001 -j ACCEPT",
        "-s 10.97.0.0/16 -d 10.96.0.0/16 -i fb-10002 -j ACCEPT",
    ]
