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
CASES: dict[str, tuple[tuple[HostRule, ...], str]] = {
    "no rule": ((), ""),
    "a table that has nothing for the peer": ((_rule(52, 5270, ("192.0.2.0/24", "tun9")),), ""),
    "a wider route": ((TABLE,), "5270: from all lookup 52: 10.0.0.0/8 dev tun9"),
    "a default route": ((_rule(52, 5270, ("0.0.0.0/0", "tun9")),), "default dev tun9"),
    "a suppressed default route": ((_rule(52, 5270, ("0.0.0.0/0", "tun9"), suppress=0),), ""),
    "a part of the subnet": ((_rule(52, 5270, ("10.50.11.128/25", "tun9")),), "10.50.11.128/25 dev tun9"),
    "a throw": ((_rule(52, 5270, ("10.0.0.0/8", "tun9"), ("10.50.0.0/16", "throw")),), ""),
    "our own device": ((_rule(52, 5270, ("10.0.0.0/8", "flannel.1")),), ""),
    "main goes first": ((HostRule(4, 100, MAIN_TABLE, to=IPv4Network("10.50.0.0/16")), TABLE), ""),
    "main goes first for others": ((HostRule(4, 100, MAIN_TABLE, to=IPv4Network("10.51.0.0/16")), TABLE), "tun9"),
    "main goes first for one source": (
        (HostRule(4, 100, MAIN_TABLE, source=IPv4Network("10.50.10.0/24")), TABLE), "tun9",
    ),
    "of our containers": ((replace(TABLE, source=IPv4Network("10.50.10.0/25")),), "from 10.50.10.0/25 lookup 52"),
    "of somebody else": ((replace(TABLE, source=IPv4Network("192.0.2.10/32")),), ""),
    "what comes in by our bridge": ((replace(TABLE, link="docker0"),), "iif docker0"),
    "what comes in elsewhere": ((replace(TABLE, link="eth7"),), ""),
    "a rule that ends packets": ((HostRule(4, 9, 0, drops=True, to=PEER),), "9: from all to 10.50.11.0/24 drops"),
    "the other family": ((replace(TABLE, version=6),), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rule_and_route_that_take_a_peers_packets_are_found(name: str) -> None:
    rules, wanted = CASES[name]
    bridge = IPv4Address("10.50.10.1")
    facts = replace(FACTS, rules=rules, placed=frozenset({(bridge, "docker0")}))
    found = list(led_astray(world(DUAL, lease(1, DUAL), facts=facts), [PEER], OURS))
    assert bool(found) == bool(wanted)
    assert all(
        str(one).startswith("packets to 10.50.11.0/24 follow rule ") and wanted in str(one) for one in found
    )


def test_cure_is_a_rule_right_before_it() -> None:
    one = world(DUAL, facts=replace(FACTS, rules=(TABLE,)))
    (found,) = led_astray(one, [PEER], OURS)
    assert found.cure(IPv4Network("10.50.0.0/16")) == "ip rule add pref 5269 to 10.50.0.0/16 lookup main"
    six = replace(found, rule=replace(found.rule, version=6, priority=0))
    assert six.cure(IPv6Network("fd50::/48")) == "ip -6 rule add pref 1 to fd50::/48 lookup main"
