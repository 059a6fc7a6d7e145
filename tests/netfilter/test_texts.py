"""Rules written and read back, and what is read from the rule sets of real Docker engines."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.address import Family
from flanpy.model.packet_filter import (
    DockerRules,
    FilterChain,
    FilterJump,
    Flavour,
    OtherRule,
    Rule,
    Verdict,
)
from flanpy.netfilter.saved import read_listed, read_saved
from flanpy.plan.filter_text import iptables_rule, nft_rules, read_iptables_rule, read_nft_rules
from tests.netfilter.worlds import REPLICAS

NETWORKS4 = st.ip_addresses(v=4).map(lambda address: f"{address}/32") | st.just("10.50.0.0/16")
PORTS = st.lists(st.integers(1, 65535), max_size=2, unique=True).map(sorted).map(tuple)
LINKS = st.from_regex(r"[a-z][a-z0-9.\-]{0,13}", fullmatch=True)


def _rules(verdicts: list[Verdict], *, sets: bool = False) -> st.SearchStrategy[Rule]:
    """`sets`: with what only nftables has."""
    networks = st.none() | NETWORKS4.map(ip_network)
    flags = st.booleans()

    def made(verdict: Verdict, matches: tuple[object, ...], nots: tuple[bool, ...], fresh: bool) -> Rule:
        given_ = [bool(match) and negated for match, negated in zip(matches, nots, strict=True)]
        return Rule(verdict, *matches, *given_, fresh=fresh)  # type: ignore[arg-type, misc]

    plain = st.builds(
        made,
        st.sampled_from(verdicts),
        st.tuples(networks, networks, LINKS | st.just(""), LINKS | st.just("")),
        st.tuples(flags, flags, flags, flags),
        flags,
    )
    ported = st.builds(
        lambda rule, ports, tcp, known, ipip: replace(
            rule, ports=ports, tcp=tcp and bool(ports), known=known, ipip=ipip and not ports
        ),
        plain,
        PORTS,
        flags,
        flags,
        flags,
    )
    return ported.flatmap(_with_sets) if sets else ported


_SET_WORDS = (
    "to_member",
    "from_member",
    "by_bridge",
    "to_host",
    "no_way_back",
    "off_link",
    "not_udp",
    "not_ipip",
    "fresh",
)


def _with_sets(rule: Rule) -> st.SearchStrategy[Rule]:
    """Return rules with the parts that only nftables has."""
    return st.builds(
        lambda counted, *more: replace(rule, counted=counted, **dict(zip(_SET_WORDS, more, strict=True))),
        st.sampled_from(["", "strangers"]),
        *[st.booleans()] * len(_SET_WORDS),
    )


BOTH = [Verdict.ACCEPT, Verdict.DROP, Verdict.RETURN, Verdict.MASQUERADE, Verdict.MASQUERADE_RANDOM]


@given(_rules(BOTH))
def test_rule_is_read_as_it_was_written_for_iptables(rule: Rule) -> None:
    assert read_iptables_rule(iptables_rule(rule)) == rule


@given(st.lists(_rules([*BOTH, Verdict.KEEP_SOURCE, Verdict.MARK], sets=True), max_size=4))
def test_rules_are_read_as_they_were_written_for_nft(rules: list[Rule]) -> None:
    lines = [line for rule in rules for line in nft_rules(rule, Family.IPV4)]
    assert read_nft_rules(lines) == tuple(rules)


@pytest.mark.parametrize("name", ["4", "ipencap", "ipip"])
def test_protocol_4_is_read_by_whatever_name_the_system_has_for_it(name: str) -> None:
    rule = Rule(Verdict.DROP, in_link="eth0", ipip=True)
    assert read_iptables_rule(f"-i eth0 -p {name} -j DROP") == rule
    assert read_nft_rules([f'meta l4proto {name} iifname "eth0" drop', f"meta l4proto != {name} return"]) == (
        rule,
        Rule(Verdict.RETURN, not_ipip=True),
    )
    listed = f"*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -p {name} -j FLANPY-ENCAP\nCOMMIT\n"
    (jump,) = read_saved(listed, Flavour.IPTABLES_NFT, Family.IPV4).objects
    assert getattr(jump, "match", "") == "-p 4"


@pytest.mark.parametrize(
    "text",
    [
        "-s 10.50.0.0/16 -p tcp -j ACCEPT",
        "-j ACCEPT -s 1.2.3.4",
        "-s 10.50.0.0/16 -s 10.50.0.0/16 -j ACCEPT",
        "-s nonsense -j DROP",
        "-j LOG --log-prefix x",
        "-m conntrack --ctstate NEW -j DROP",
        "",
    ],
)
def test_rule_of_another_form_is_none_of_ours(text: str) -> None:
    assert read_iptables_rule(text) == OtherRule(text)


@pytest.mark.parametrize("text", ["sctp dport 80 accept", "log", "ip saddr 10.50.0.0/16 counter accept", ""])
def test_nft_rule_of_another_form_is_none_of_ours(text: str) -> None:
    assert read_nft_rules([text]) == (OtherRule(text),)


OLD, NEW = DockerRules(user_chain=True), DockerRules(user_chain=True, direct_drops=True)


@pytest.mark.parametrize("path", sorted(REPLICAS.glob("*.iptables")), ids=lambda path: path.stem)
def test_p01_engines_that_drop_what_comes_past_their_bridge_are_known_by_their_rules(path: object) -> None:
    name = str(path)
    flavour = Flavour.IPTABLES_LEGACY if "legacy" in name else Flavour.IPTABLES_NFT
    saved = read_saved(REPLICAS.joinpath(name).read_text(), flavour, Family.IPV4)
    assert saved.docker == (NEW if re.search(r"docker-2[89]", name) else OLD)
    assert saved.objects == ()


def test_docker_user_that_forward_does_not_go_through_is_no_place_for_a_jump() -> None:
    text = "*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -j RETURN\nCOMMIT\n"
    assert read_saved(text, Flavour.IPTABLES_NFT, Family.IPV4).docker == DockerRules()


def test_host_without_docker_has_no_rules_of_docker() -> None:
    text = "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
    assert read_saved(text, Flavour.IPTABLES_NFT, Family.IPV4).docker is None


def test_jumps_are_known_by_their_places_and_flannels_by_their_comment() -> None:
    text = (
        "*filter\n:FORWARD DROP [0:0]\n:FLANPY-FORWARD - [0:0]\n:FLANNEL-FWD - [0:0]\n"
        "-A FORWARD -j OTHER\n-A FORWARD -j FLANPY-FORWARD\n-A FORWARD -j FLANPY-FORWARD\n"
        '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD\n'
        "-A FLANNEL-FWD -s 10.50.0.0/16 -j ACCEPT\nCOMMIT\n"
    )
    found = read_saved(text, Flavour.IPTABLES_NFT, Family.IPV4).objects
    jumps = [obj for obj in found if isinstance(obj, FilterJump)]
    assert [(jump.target, jump.places, jump.is_leftover) for jump in jumps] == [
        ("FLANPY-FORWARD", (2, 3), False),
        ("FLANNEL-FWD", (4,), True),
    ]
    assert jumps[1].rule == '-m comment --comment "flanneld forward" -j FLANNEL-FWD'
    assert [obj.is_leftover for obj in found if isinstance(obj, FilterChain)] == [False, True]


def test_table_of_nft_is_read_chain_by_chain() -> None:
    text = (
        "table ip flanpy {\n\tchain guard {\n\t\ttype filter hook forward priority -1; policy accept;\n"
        '\t\tiifname "flanpy0" return\n\t\tdrop\n\t}\n\n\tchain plain {\n\t\tcounter accept\n\t}\n}\n'
    )
    guard, plain = read_listed(text, Family.IPV4, "flanpy")
    assert guard.hook == "filter hook forward priority -1"
    assert guard.rules == (Rule(Verdict.RETURN, in_link="flanpy0"), Rule(Verdict.DROP))
    assert (plain.hook, plain.rules) == ("", (OtherRule("counter accept"),))
