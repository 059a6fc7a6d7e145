"""The rules and routes of others that lead packets to peers elsewhere before the main table is asked."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

import pytest

from flanpy.model.objects import MAIN_TABLE
from flanpy.model.rules import HostRule, TableRoute
from flanpy.plan.policy_routing import led_astray
from tests.states import DUAL, FACTS, lease, world

PEER, OURS = IPv4Network("10.50.11.0/24"), frozenset({"flannel.1"})


def _rule(table: int = 52, pref: int = 5270, *routes: tuple[str, str], **more: object) -> HostRule:
    found = tuple(TableRoute(ip_network(to), link, kind=link or "blackhole") for to, link in routes)
    fixed = tuple(replace(one, kind="throw" if one.link == "throw" else "unicast") for one in found)
    return HostRule(4, pref, table, routes=fixed, **more)  # type: ignore[arg-type]  # the cases name fields of it


TABLE = _rule(52, 5270, ("10.0.0.0/8", "tun9"))
OURS_FIRST = _rule(51, 5000, ("10.50.0.0/16", "flannel.1"))
CASES: dict[str, tuple[tuple[HostRule, ...], str]] = {
    "no rule": ((), ""),
    "a table that has nothing for the peer": ((_rule(52, 5270, ("192.0.2.0/24", "tun9")),), ""),
    "a wider route": ((TABLE,), "5270: from all lookup 52: 10.0.0.0/8 dev tun9"),
    "the longest of wider routes": (
        (_rule(52, 5270, ("10.0.0.0/8", "tun9"), ("10.50.0.0/16", "tun8"), ("0.0.0.0/0", "tun7")),),
        "5270: from all lookup 52: 10.50.0.0/16 dev tun8",
    ),
    "the peer's own route": (
        (_rule(52, 5270, ("10.50.11.0/24", "tun9")),), "5270: from all lookup 52: 10.50.11.0/24 dev tun9",
    ),
    "a default route": ((_rule(52, 5270, ("0.0.0.0/0", "tun9")),), "5270: from all lookup 52: default dev tun9"),
    "a suppressed default route": ((_rule(52, 5270, ("0.0.0.0/0", "tun9"), suppress=0),), ""),
    "a route longer than those suppressed": (
        (_rule(52, 5270, ("10.0.0.0/8", "tun9"), suppress=7),), "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "a part of the subnet": (
        (_rule(52, 5270, ("10.50.11.128/25", "tun9")),), "5270: from all lookup 52: 10.50.11.128/25 dev tun9",
    ),
    "a part of another subnet": ((_rule(52, 5270, ("10.50.12.128/25", "tun9")),), ""),
    "a part, below a route of ours": (
        (_rule(52, 5270, ("10.0.0.0/8", "flannel.1"), ("10.50.11.128/25", "tun9")),),
        "5270: from all lookup 52: 10.50.11.128/25 dev tun9",
    ),
    "a part, below a throw": (
        (_rule(52, 5270, ("10.0.0.0/8", "throw"), ("10.50.11.128/25", "tun9")),),
        "5270: from all lookup 52: 10.50.11.128/25 dev tun9",
    ),
    "a throw": ((_rule(52, 5270, ("10.0.0.0/8", "tun9"), ("10.50.0.0/16", "throw")),), ""),
    "a throw for a part": ((_rule(52, 5270, ("10.50.11.128/25", "throw")),), ""),
    "a throw, then another rule": (
        (_rule(51, 5269, ("10.50.0.0/16", "throw")), TABLE), "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "our own device": ((_rule(52, 5270, ("10.0.0.0/8", "flannel.1")),), ""),
    "our own device at a lower metric": (
        (_rule(52, 5270, ("10.50.11.0/24", "flannel.1"), ("10.50.11.0/24", "tun9")),), "",
    ),
    "our own device at a lower metric for a part": (
        (_rule(52, 5270, ("10.50.11.128/25", "flannel.1"), ("10.50.11.128/25", "tun9")),), "",
    ),
    "our own device goes first": ((OURS_FIRST, TABLE), ""),
    "our own device goes first for a part": (
        (_rule(51, 5000, ("10.50.11.128/25", "flannel.1")), TABLE),
        "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "our own device goes first for the host alone": (
        (replace(OURS_FIRST, link="lo"), TABLE), "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "main goes first": ((HostRule(4, 100, MAIN_TABLE, to=IPv4Network("10.50.0.0/16")), TABLE), ""),
    "main goes first for just this peer": ((HostRule(4, 100, MAIN_TABLE, to=PEER), TABLE), ""),
    "main goes first with routes as short as ours": ((HostRule(4, 100, MAIN_TABLE, suppress=23), TABLE), ""),
    "main goes first without routes as short as ours": (
        (HostRule(4, 100, MAIN_TABLE, suppress=24), TABLE), "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "main goes first for others": (
        (HostRule(4, 100, MAIN_TABLE, to=IPv4Network("10.51.0.0/16")), TABLE),
        "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "main goes first for a part": (
        (HostRule(4, 100, MAIN_TABLE, to=IPv4Network("10.50.11.0/25")), TABLE),
        "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "main goes first for one source": (
        (HostRule(4, 100, MAIN_TABLE, source=IPv4Network("10.50.10.0/24")), TABLE),
        "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "main goes first for one link": (
        (HostRule(4, 100, MAIN_TABLE, link="docker0"), TABLE), "5270: from all lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "of a part": (
        (replace(TABLE, to=IPv4Network("10.50.11.0/25")),),
        "5270: from all to 10.50.11.0/25 lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "of a part for which the table has nothing": (
        (replace(_rule(52, 5270, ("10.50.11.128/25", "tun9")), to=IPv4Network("10.50.11.0/25")),), "",
    ),
    "of other peers": ((replace(TABLE, to=IPv4Network("10.50.12.0/24")),), ""),
    "of our containers": (
        (replace(TABLE, source=IPv4Network("10.50.10.0/25")),),
        "5270: from 10.50.10.0/25 lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "of somebody else": ((replace(TABLE, source=IPv4Network("192.0.2.10/32")),), ""),
    "what comes in by our bridge": (
        (replace(TABLE, link="docker0"),), "5270: from all iif docker0 lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "what comes in by our device": (
        (replace(TABLE, link="flannel.1"),), "5270: from all iif flannel.1 lookup 52: 10.0.0.0/8 dev tun9",
    ),
    "what the host sends": ((replace(TABLE, link="lo"),), "5270: from all iif lo lookup 52: 10.0.0.0/8 dev tun9"),
    "what comes in elsewhere": ((replace(TABLE, link="eth7"),), ""),
    "a rule that ends packets": ((HostRule(4, 9, 0, drops=True, to=PEER),), "9: from all to 10.50.11.0/24 drops"),
    "a rule of main that ends packets": ((HostRule(4, 9, MAIN_TABLE, drops=True),), "9: from all drops"),
    "the other family": ((replace(TABLE, version=6),), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rule_and_route_that_take_a_peers_packets_are_found(name: str) -> None:
    rules, wanted = CASES[name]
    bridge = IPv4Address("10.50.10.1")
    facts = replace(FACTS, rules=rules, placed=frozenset({(bridge, "docker0")}))
    found = led_astray(world(DUAL, lease(1, DUAL), facts=facts), [PEER], OURS)
    assert list(map(str, found)) == ([f"packets to 10.50.11.0/24 follow rule {wanted}"] if wanted else [])


def test_host_without_a_subnet_of_a_family_meets_no_rule_for_its_sources() -> None:
    rule = replace(TABLE, source=IPv4Network("10.50.10.0/24"))
    six = HostRule(6, 9, 0, source=IPv6Network("fd50:0:0:a::/64"), drops=True)
    for own, peer, wanted in ((world(), PEER, 1), (world(), IPv6Network("fd50:0:0:b::/64"), 0)):
        one = replace(own, facts=replace(FACTS, rules=(rule, six)))
        assert len(list(led_astray(one, [peer], OURS))) == wanted
        assert list(led_astray(replace(one, own=None), [peer], OURS)) == []


def test_cure_is_a_rule_right_before_it() -> None:
    one = world(DUAL, facts=replace(FACTS, rules=(TABLE,)))
    (found,) = led_astray(one, [PEER], OURS)
    assert found.cure(IPv4Network("10.50.0.0/16")) == "ip rule add pref 5269 to 10.50.0.0/16 lookup main"
    six = replace(found, rule=replace(found.rule, version=6, priority=0))
    assert six.cure(IPv6Network("fd50::/48")) == "ip -6 rule add pref 1 to fd50::/48 lookup main"
