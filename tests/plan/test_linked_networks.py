"""Linked named networks: the pairs of a host, and the rules that let them talk before Docker keeps them apart."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest

from flanpy.model.address import Family
from flanpy.model.networks.links import LinkPort, NetworkLink, Protocol
from flanpy.model.networks.view import Joined, NamedView
from flanpy.model.packet_filter import DockerRules, FilterChain, FilterFacts, FilterPolicy, Flavour, Verdict
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


SHOP6, BILLING6 = IPv6Network("fd00:96::/64"), IPv6Network("fd00:97::/64")
WAY6 = "-s fd00:96::/64 -d fd00:97::/64 -i fb-10001 -o fb-10002"


def on6(*links: NetworkLink) -> tuple[Joined, ...]:
    """Return the same host, with IPv6 on two of its networks."""
    shop, billing, lab = on(links)
    both = ((shop, SHOP6), (billing, BILLING6))
    return (*(replace(one, network=replace(one.network, subnet6=subnet)) for one, subnet in both), lab)


def texts(seen: FilterFacts, joined: tuple[Joined, ...], family: Family) -> dict[str, list[str]]:
    """Return iptables rules of one family by chain, on a flat overlay of IPv4 alone."""
    world = replace(crowd(2), named=NamedView(joined))
    chains = (one for one in filtered(seen, world, FilterPolicy()) if isinstance(one, FilterChain))
    return {one.name: [*map(iptables_rule, one.rules)] for one in chains if one.family is family}


def test_ipv6_of_linked_networks_passes_our_own_drop_and_dockers_and_answers_come_back_here() -> None:
    seen = facts(Flavour.IPTABLES_NFT, NEW)
    found = texts(seen, on6(NetworkLink("b1")), Family.IPV6)
    assert found["networks"][:2] == ["-s fe80::/10 -j RETURN", f"{WAY6} -j RETURN"]
    assert found["FLANPY-FORWARD"][0] == f"{WAY6} -j ACCEPT"
    assert found["FLANPY-RAW"][0] == "-s fd00:96::/64 -d fd00:97::/64 -i fb-10001 -j ACCEPT"
    assert found["FLANPY-POSTROUTING"] == [
        "-s fd00:96::/64 -d fd00:97::/64 -o fb-10002 -j MASQUERADE",
        "-s fd00:97::/64 -d fd00:96::/64 -o fb-10001 -j MASQUERADE",
    ]
    apart = texts(seen, on6(), Family.IPV6)
    assert sorted(apart) == ["FLANPY-FORWARD", "networks"]
    assert not any("MASQUERADE" in rule or f"{WAY6} " in rule for rules in apart.values() for rule in rules)
    assert linked(on6(NetworkLink("l1")), Family.IPV6) == (), "one of the two has no IPv6"


@pytest.mark.parametrize(("rules", "stands"), [(OLD, False), (NEW, True)])
def test_packets_within_a_bridge_pass_while_docker_28_makes_its_rules_anew(
    rules: DockerRules, stands: bool
) -> None:
    seen = facts(Flavour.IPTABLES_NFT, rules)
    for family, bridges in ((Family.IPV4, (1, 2, 3)), (Family.IPV6, (1, 2))):
        found = texts(seen, on6(), family).get("FLANPY-FORWARD", [])
        within = [f"-i fb-1000{number} -o fb-1000{number} -j ACCEPT" for number in bridges]
        assert [rule for rule in found if rule in within] == (within if stands else [])
