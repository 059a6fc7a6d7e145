"""A packet's way through rules: as iptables-save and nft print them, those of real Docker engines included."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from flanpy.model.address import Family
from flanpy.trace.filter import Effect, Hook, Packet, Passage, TracedTable
from flanpy.trace.iptables_text import read_saved
from flanpy.trace.nft_json import read_ruleset
from flanpy.trace.nft_words import words
from flanpy.trace.passage import passage
from tests.netns import namespace

REPLICAS = Path(__file__).parents[1] / "netfilter" / "replicas"
INTO = Packet(ip_address("10.50.8.2"), ip_address("10.50.7.2"), "flannel.1", "docker0")
OUT = Packet(ip_address("10.50.7.2"), ip_address("10.50.8.2"), "docker0", "flannel.1")


def _rules(*rules: str, table: str = "filter", policy: str = "ACCEPT") -> tuple[TracedTable, ...]:
    chains = "\n".join(f":{name} - [0:0]" for name in ("ONE", "TWO"))
    text = f"*{table}\n:FORWARD {policy} [0:0]\n:POSTROUTING ACCEPT [0:0]\n{chains}\n"
    return read_saved(
        text + "\n".join(f"-A {rule}" for rule in rules) + "\nCOMMIT\n", "iptables-nft", Family.IPV4
    )


def _forward(*rules: str, packet: Packet = INTO, policy: str = "ACCEPT") -> Passage:
    return passage(_rules(*rules, policy=policy), Hook.FORWARD, packet)


@pytest.mark.parametrize(
    "rule",
    [
        "FORWARD -j DROP",
        "FORWARD -s 10.50.0.0/16 -d 10.50.7.2/32 -j DROP",
        "FORWARD ! -i docker0 -o docker0 -j REJECT --reject-with icmp-port-unreachable",
        "FORWARD -i flannel+ -m comment --comment \"a b -j ACCEPT\" -j DROP",
        "FORWARD -m conntrack --ctstate INVALID,NEW -j DROP",
        "FORWARD -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP",
        "FORWARD -m addrtype ! --dst-type LOCAL -j DROP",
        "FORWARD -m mark ! --mark 0x1000000/0x1000000 -j DROP",
    ],
)  # fmt: skip
def test_rule_drops_the_packet_that_it_matches(rule: str) -> None:
    dropped = _forward(rule).dropped
    assert dropped is not None
    assert dropped.text == rule.removeprefix("FORWARD ")


@pytest.mark.parametrize(
    "rule",
    [
        "FORWARD -s 10.51.0.0/16 -j DROP",
        "FORWARD ! -s 10.50.0.0/16 -j DROP",
        "FORWARD -i docker0 -j DROP",
        "FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j DROP",
        "FORWARD -m addrtype --dst-type LOCAL -j DROP",
        "FORWARD -m mark --mark 0x1/0x1 -j DROP",
        "FORWARD -j LOG --log-prefix DROP",
        "FORWARD -j TWO",
    ],
)
def test_rule_leaves_the_packet_alone_that_it_does_not_match(rule: str) -> None:
    found = _forward(rule)
    assert (found.dropped, found.perhaps) == (None, ())


@pytest.mark.parametrize(
    "rule",
    [
        "FORWARD -p tcp -m tcp --dport 80 -j DROP",
        "FORWARD -m set --match-set bad src -j DROP",
        "FORWARD -m limit --limit 5/min -j DROP",
        "FORWARD -m rpfilter --invert -j DROP",
    ],
)
def test_rule_that_takes_some_packets_is_told_and_stops_none(rule: str) -> None:
    found = _forward(rule)
    assert found.dropped is None
    assert [met.text for met in found.perhaps] == [rule.removeprefix("FORWARD ")]


def test_policy_drops_what_no_rule_accepts_and_nothing_else() -> None:
    assert str(_forward(policy="DROP").dropped) == "iptables-nft table filter, chain FORWARD: policy drop"
    assert _forward("FORWARD -o docker0 -j ACCEPT", policy="DROP").dropped is None


def test_chains_are_left_by_return_and_by_goto() -> None:
    """RETURN goes on behind the jump; a chain reached by goto goes on where its caller was called from."""
    jumps = ("FORWARD -j ONE", "ONE -j RETURN", "ONE -j DROP", "FORWARD -j ACCEPT")
    assert _forward(*jumps, policy="DROP").accepted
    gone = ("FORWARD -j ONE", "ONE -g TWO", "ONE -j ACCEPT", "TWO -i lo -j DROP")
    assert _forward(*gone, policy="DROP").dropped is not None


def test_marks_set_on_the_way_are_matched_later() -> None:
    mark = "FORWARD -i flannel.1 -j MARK --set-xmark 0x1000000/0x1000000"
    assert _forward(mark, "FORWARD -m mark --mark 0x1000000/0x1000000 -j DROP").dropped is not None


def test_accept_in_one_table_does_not_save_from_the_next() -> None:
    tables = (*_rules("FORWARD -j ACCEPT", table="mangle"), *_rules("FORWARD -j DROP"))
    assert passage(tables, Hook.FORWARD, INTO).dropped is not None


def test_first_rule_that_settles_the_source_settles_it_for_all() -> None:
    tables = _rules(
        "POSTROUTING -s 10.50.0.0/16 -d 10.50.0.0/16 -j ACCEPT", "POSTROUTING -j MASQUERADE", table="nat"
    )
    assert passage(tables, Hook.POSTROUTING, OUT).rewritten is None
    foreign = _rules("POSTROUTING -s 10.50.7.0/24 ! -o docker0 -j MASQUERADE", table="nat")
    rewritten = passage(foreign, Hook.POSTROUTING, OUT).rewritten
    assert rewritten is not None
    assert rewritten.effect is Effect.REWRITE_SOURCE


def test_counters_are_told_with_the_rule() -> None:
    text = "*filter\n:FORWARD ACCEPT [9:900]\n[12:1200] -A FORWARD -j DROP\nCOMMIT\n"
    dropped = passage(read_saved(text, "iptables-nft", Family.IPV4), Hook.FORWARD, INTO).dropped
    assert str(dropped) == "iptables-nft table filter, chain FORWARD: -j DROP (packets so far: 12)"


def test_rules_of_the_other_family_are_not_met() -> None:
    tables = read_saved("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n", "ip6tables-nft", Family.IPV6)
    assert passage(tables, Hook.FORWARD, INTO).dropped is None


_SAVED = sorted(path.stem for path in REPLICAS.glob("*.iptables"))


def _replica(name: str) -> tuple[TracedTable, ...]:
    return read_saved((REPLICAS / f"{name}.iptables").read_text(), "iptables-nft", Family.IPV4)


@pytest.mark.parametrize("name", [name for name in _SAVED if "no-masq" not in name and "network" not in name])
def test_docker_masquerades_what_leaves_its_bridge_for_the_overlay(name: str) -> None:
    rewritten = passage(_replica(name), Hook.POSTROUTING, OUT).rewritten
    assert rewritten is not None
    assert rewritten.text.startswith("-s 10.50.7.0/24 ! -o docker0 -j MASQUERADE")


@pytest.mark.parametrize("name", [name for name in _SAVED if "bip" in name])
def test_docker_stops_the_overlay_before_a_container_and_says_where(name: str) -> None:
    """P01 and P02: a policy in older engines, rules of their own since 28."""
    tables = _replica(name)
    early = passage(tables, Hook.PREROUTING, INTO).dropped
    late = passage(tables, Hook.FORWARD, INTO).dropped
    assert late is not None
    if "28.5" in name:
        assert late.text == "! -i docker0 -o docker0 -j DROP"
    else:
        assert late.text == "policy drop"
    direct = "28.5" in name and "direct-routing" not in name
    assert (early is not None) == direct
    assert early is None or early.text == "-d 10.50.7.2/32 ! -i docker0 -j DROP"


@pytest.mark.netns
@pytest.mark.parametrize("name", [name for name in _SAVED if name.endswith("-bip-mode") and "-nft-" in name])
def test_nft_and_iptables_save_tell_the_same_of_real_engines(name: str) -> None:
    """Written natively, the same rules decide the same about the same packets."""
    with namespace("trace") as here:
        here.run("nft", "-f", "-", stdin=(REPLICAS / f"{name}.nft").read_text())
        listed = read_ruleset(here.run("nft", "-j", "list", "ruleset"))
    for hook, packet in (
        (Hook.PREROUTING, INTO),
        (Hook.FORWARD, INTO),
        (Hook.FORWARD, OUT),
        (Hook.POSTROUTING, OUT),
    ):
        one, other = passage(_replica(name), hook, packet), passage(listed, hook, packet)
        assert bool(one.dropped) == bool(other.dropped), (hook, packet)
        assert bool(one.rewritten) == bool(other.rewritten), (hook, packet)


_NFT = """
table inet mine {
    set bad { type ipv4_addr; flags interval; elements = { 10.50.8.0/24 } }
    map ways { type ifname : verdict; elements = { "docker0" : jump below } }
    chain below { RULE; }
    chain forward { type filter hook forward priority 5; policy accept; oifname vmap @ways; }
    chain last { type nat hook postrouting priority 90; TRANSLATE; }
}
"""


def _listed(rule: str, translate: str = "return") -> tuple[TracedTable, ...]:
    with namespace("trace") as here:
        here.run("nft", "-f", "-", stdin=_NFT.replace("RULE", rule).replace("TRANSLATE", translate))
        return read_ruleset(here.run("nft", "-j", "list", "ruleset"))


@pytest.mark.netns
@pytest.mark.parametrize(
    ("rule", "drops"),
    [
        ("ip saddr @bad counter drop", True),
        ("ip saddr { 10.50.8.2, 10.9.0.0/16 } drop", True),
        ("iifname != \"docker0\" reject", True),
        ("iifname { eth0, \"flannel.1\" } drop", True),
        ("ct state new drop", True),
        ("ct state invalid,established drop", False),
        ("ct status dnat drop", False),
        ("meta mark set meta mark | 0x01000000; meta mark & 0x01000000 == 0x01000000 drop", True),
        ("meta mark & 0x01000000 == 0x01000000 drop", False),
        ("fib daddr type local drop", False),
        ("tcp dport 80 drop", None),
        ("limit rate 1/second drop", None),
        ("ip daddr . tcp dport { 10.50.7.2 . 80 } drop", None),
        ("ip daddr 10.50.9.0/24 drop", False),
        ("ip6 daddr fd50::/16 drop", False),
        ("return; drop", False),
    ],
)  # fmt: skip
def test_nft_rule_is_understood_as_the_kernel_lists_it(rule: str, drops: bool | None) -> None:
    found = passage(_listed(rule), Hook.FORWARD, INTO)
    assert bool(found.dropped) == bool(drops), found
    assert bool(found.perhaps) == (drops is None), found


@pytest.mark.netns
def test_nft_snat_to_the_source_itself_keeps_it_from_later_masquerade() -> None:
    foreign = _rules("POSTROUTING -j MASQUERADE", table="nat")
    kept = _listed("return", "ip saddr 10.50.0.0/16 snat ip to ip saddr")
    assert passage((*foreign, *kept), Hook.POSTROUTING, OUT).rewritten is None
    assert passage(foreign, Hook.POSTROUTING, OUT).rewritten is not None


def test_ruleset_leaves_out_tables_that_iptables_keeps_there() -> None:
    chain = {
        "family": "ip",
        "table": "filter",
        "name": "FORWARD",
        "hook": "forward",
        "prio": 0,
        "policy": "drop",
    }
    text = json.dumps(
        {"nftables": [{"table": {"family": "ip", "name": "filter"}}, {"chain": {**chain, "type": "filter"}}]}
    )
    assert passage(read_ruleset(text), Hook.FORWARD, INTO).dropped is not None
    assert read_ruleset(text, without=[(Family.IPV4, "filter")]) == ()


@pytest.mark.parametrize("text", ["", "{}", '{"nftables": []}'])
def test_empty_ruleset_is_no_table(text: str) -> None:
    assert read_ruleset(text) == ()


def test_words_are_close_to_what_nft_prints() -> None:
    left = {"payload": {"protocol": "ip", "field": "saddr"}}
    match = {"match": {"op": "!=", "left": left, "right": {"prefix": {"addr": "10.50.0.0", "len": 16}}}}
    assert words(match) == "ip saddr != 10.50.0.0/16"
    assert words({"jump": {"target": "below"}}) == "jump below"
    assert words({"masquerade": None}) == "masquerade"
