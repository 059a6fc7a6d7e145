"""The edges of reading a packet filter: what makes Docker's rules, a jump and a rule of ours, and what does not."""

from __future__ import annotations

import pytest

from flanpy.model.address import Family
from flanpy.model.packet_filter import DockerRules, FilterChain, FilterJump, Flavour, OtherRule, Rule, Verdict
from flanpy.netfilter.saved import read_listed, read_saved
from flanpy.plan.filter_text import describe_change, iptables_rule, nft_rules, read_nft_rules

KNOWN = ["ct state established,related return", "ct status dnat return"]


def docker(*lines: str) -> DockerRules | None:
    return read_saved("\n".join(lines), Flavour.IPTABLES_NFT, Family.IPV4).docker


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["*filter", ":FORWARD ACCEPT [0:0]"], None),
        (["*nat", ":DOCKER - [0:0]"], None),
        (["*filter", ":DOCKER - [0:0]"], DockerRules()),
        (["*filter", ":DOCKER-USER - [0:0]"], DockerRules()),
        (["*filter", ":DOCKER - [0:0]", ":FORWARD - [0:0]", "-A FORWARD -j DOCKER-USER"], DockerRules()),
        (
            ["*filter", ":DOCKER-USER - [0:0]", ":FORWARD - [0:0]", "-A FORWARD -j DOCKER-USER"],
            DockerRules(user_chain=True),
        ),
        (["*filter", ":DOCKER - [0:0]", ":DOCKER-FORWARD - [0:0]"], DockerRules(direct_drops=True)),
        (
            ["*raw", "-A PREROUTING -d 10.50.7.2/32 ! -i docker0 -j DROP", "*filter", ":DOCKER - [0:0]"],
            DockerRules(direct_drops=True),
        ),
        (
            ["*raw", "-A PREROUTING -d 127.0.0.1/32 ! -i lo -j DROP", "*filter", ":DOCKER - [0:0]"],
            DockerRules(),
        ),
    ],
)
def test_docker_is_known_by_its_chains(lines: list[str], found: DockerRules | None) -> None:
    assert docker(*lines) == found


def test_jump_to_a_chain_of_ours_has_its_places_and_its_match() -> None:
    rules = ("-j FLANPY-FWD", "-j X", "-i a -j FLANPY-FWD", "-j FLANPY-FWD")
    text = "*filter\n" + "".join(f"-A FORWARD {rule}\n" for rule in rules)
    (plain, matched) = read_saved(text, Flavour.IPTABLES_NFT, Family.IPV4).objects
    assert isinstance(plain, FilterJump)
    assert isinstance(matched, FilterJump)
    assert (plain.match, plain.places) == ("", (1, 4))
    assert (matched.match, matched.places) == ("-i a", (3,))


def test_lines_outside_of_a_chain_and_blank_ones_are_no_rules() -> None:
    text = (
        "accept\ntype filter hook input priority 5;\ntable ip flanpy {\n\tchain a {\n"
        "\t\ttype filter hook forward priority -10; policy accept;\n\n\t\taccept\n\t}\n\n\tdrop\n"
        "\tchain b {\n\t\tdrop\n\t}\n}\n"
    )
    one, other = read_listed(text, Family.IPV4, "flanpy")
    assert (one.name, one.hook, one.rules) == (
        "a", "filter hook forward priority -10", (Rule(Verdict.ACCEPT),),
    )  # fmt: skip
    assert (other.name, other.hook, other.rules) == ("b", "", (Rule(Verdict.DROP),))


def test_two_rules_on_what_is_known_are_one_rule_only_with_a_third() -> None:
    assert read_nft_rules([*KNOWN, "drop"]) == (Rule(Verdict.DROP, fresh=True),)
    first, second = read_nft_rules(KNOWN)
    assert (first, second) == (Rule(Verdict.RETURN, known=True), OtherRule(KNOWN[1]))
    assert len(read_nft_rules([*KNOWN, "drop", *KNOWN])) == 3


@pytest.mark.parametrize(
    "text",
    [
        "meta l4proto != udp meta l4proto != udp drop",
        "udp dport 5 udp dport 5 drop",
        'counter name "a" counter name "a" drop',
        "saddr drop",
        "ip saddr 10.0.0.0/8 ip saddr 10.0.0.0/8 drop",
        "ip saddr nowhere drop",
    ],
)
def test_rule_that_says_a_thing_twice_or_by_half_is_none_of_ours(text: str) -> None:
    assert read_nft_rules([text]) == (OtherRule(text),)


def test_rule_of_others_is_written_as_it_stood() -> None:
    assert iptables_rule(OtherRule("-j LOG")) == "-j LOG"
    assert nft_rules(OtherRule("log"), Family.IPV4) == ("log",)


def test_change_is_a_line_for_the_shell() -> None:
    legacy = FilterChain(Flavour.IPTABLES_LEGACY, Family.IPV6, "filter", "FLANPY-A", (Rule(Verdict.DROP),))
    tool = "ip6tables-legacy -w -t filter"
    assert describe_change(legacy, "show") == f"{tool} -S FLANPY-A"
    assert describe_change(legacy, "del") == f"{tool} -F FLANPY-A && {tool} -X FLANPY-A"
    assert describe_change(legacy, "add") == f"{tool} -N FLANPY-A && {tool} -A FLANPY-A -j DROP"
    assert describe_change(legacy, "replace") == f"{tool} -F FLANPY-A && {tool} -A FLANPY-A -j DROP"
    jump = FilterJump(Flavour.IPTABLES_LEGACY, Family.IPV6, "filter", "FORWARD", "FLANPY-A", (1,), "")
    assert describe_change(jump, "show") == f"{tool} -S FORWARD"
    chain = FilterChain(Flavour.NFT, Family.IPV4, "flanpy", "a", (), "filter hook input priority 0")
    assert describe_change(chain, "show") == "nft list chain ip flanpy a"
    assert describe_change(chain, "del") == "nft 'flush chain ip flanpy a; delete chain ip flanpy a'"
