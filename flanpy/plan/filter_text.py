"""Packet filter rules in the words of iptables and nft, and back: one place for both directions. Pure.

Reading knows exactly the words that writing uses, as `iptables-save` and `nft --stateless list` print them; whatever
else stands in a chain of ours reads as an OtherRule, which no plan wants.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Any

from flanpy.model.address import Family, IPNetwork
from flanpy.model.packet_filter import (
    MEMBERS,
    NFT_TABLE,
    OVERLAY_MARK,
    FilterChain,
    FilterJump,
    FilterMember,
    FilterObject,
    Flavour,
    OtherRule,
    Rule,
    Verdict,
)

_TARGETS = {
    Verdict.ACCEPT: "ACCEPT",
    Verdict.DROP: "DROP",
    Verdict.RETURN: "RETURN",
    Verdict.MASQUERADE: "MASQUERADE",
    Verdict.MASQUERADE_RANDOM: "MASQUERADE --random-fully",
}
_BY_TARGET = {text: verdict for verdict, text in _TARGETS.items()}
_FRESH = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
_KNOWN = "-m conntrack --ctstate RELATED,ESTABLISHED"

IPIP_MATCH = "-p 4"
"""IP protocol 4, by number: its name is /etc/protocols' affair (`ipencap` in most)."""

_IPTABLES_IPIP = re.compile(r"-p (?:4|ipencap|ipip)(?= |$)")

_IPTABLES_PORTS = re.compile(
    r"-p (udp|tcp) -m (?:\1 --dport|multiport --dports) ([0-9]{1,5}(?:,[0-9]{1,5})*)(?= |$)"
)

_MATCHES = {"-s": "source", "-d": "destination", "-i": "in_link", "-o": "out_link"}
_NFT_MATCHES = {"saddr": "source", "daddr": "destination", "iifname": "in_link", "oifname": "out_link"}


def command(flavour: Flavour, family: Family) -> str:
    """Return the name of the flavour's tool: `iptables-nft`, `ip6tables-legacy`, `nft`."""
    return flavour.value if family is Family.IPV4 else flavour.value.replace("iptables", "ip6tables")


def iptables_rule(rule: Rule | OtherRule) -> str:
    """Return the rule's text after `-A <chain>`."""
    if isinstance(rule, OtherRule):
        return rule.text
    words = [
        _match("-s", rule.source, rule.not_source),
        _match("-d", rule.destination, rule.not_destination),
        _match("-i", rule.in_link, rule.not_in_link),
        _match("-o", rule.out_link, rule.not_out_link),
        port_match(rule.ports, "tcp" if rule.tcp else "udp") if rule.ports else "",
        IPIP_MATCH if rule.ipip else "",
        _FRESH if rule.fresh else "",
        _KNOWN if rule.known else "",
        f"-j {_TARGETS[rule.verdict]}",
    ]
    return " ".join(filter(None, words))


def _match(option: str, value: IPNetwork | str | None, negated: bool) -> str:
    return f"{'! ' if negated else ''}{option} {value}" if value else ""


def read_iptables_rule(text: str) -> Rule | OtherRule:
    """Read a rule from the text that `iptables-save` prints after `-A <chain>`."""
    try:
        return _iptables_rule(text) or OtherRule(text)
    except ValueError:  # a quote that is not closed
        return OtherRule(text)


def _iptables_rule(text: str) -> Rule | None:
    fresh, known, ports = _FRESH in text, f"{_KNOWN} " in text, _IPTABLES_PORTS.search(text)
    matches, wrapped = _IPTABLES_IPIP.subn(
        "", text.replace(ports[0], "", 1) if ports is not None else text, count=1
    )
    body, _, target = matches.replace(_FRESH, "").replace(f"{_KNOWN} ", "").partition("-j ")
    verdict = _BY_TARGET.get(target.strip())
    found = _read_matches(shlex.split(body), _MATCHES)
    if verdict is None or found is None:
        return None
    wanted = tuple(map(int, ports[2].split(","))) if ports is not None else ()
    tcp = ports is not None and ports[1] == "tcp"
    return Rule(verdict, fresh=fresh, known=known, ports=wanted, tcp=tcp, ipip=bool(wrapped), **found)


def by_number(match: str) -> str:
    """Return a match with protocol 4 by its number, however `iptables-save` calls it here."""
    return _IPTABLES_IPIP.sub(IPIP_MATCH, match)


def port_match(ports: Sequence[int], protocol: str = "udp") -> str:
    """Return the match for one of these ports, as iptables prints it."""
    if len(ports) == 1:
        return f"-p {protocol} -m {protocol} --dport {ports[0]}"
    return f"-p {protocol} -m multiport --dports {','.join(map(str, ports))}"


def nft_rules(rule: Rule | OtherRule, family: Family) -> tuple[str, ...]:
    """Return the text after `add rule <family> <table> <chain>`, once for each nft rule needed."""
    if isinstance(rule, OtherRule):
        return (rule.text,)
    ip = nft_family(family)
    words = [
        _NOT_UDP if rule.not_udp else "",
        _NOT_IPIP if rule.not_ipip else "",
        _IPIP if rule.ipip else "",
        f"{'tcp' if rule.tcp else 'udp'} dport {_nft_ports(rule.ports)}" if rule.ports else "",
        _BY_BRIDGE if rule.by_bridge else "",
        _nft_match("iifname", rule.in_link and f'"{rule.in_link}"', rule.not_in_link),
        _nft_match("oifname", rule.out_link and f'"{rule.out_link}"', rule.not_out_link),
        _nft_match(f"{ip} saddr", rule.source, rule.not_source),
        _nft_match(f"{ip} daddr", rule.destination, rule.not_destination),
        f"{ip} {_FROM_MEMBER}" if rule.from_member else "",
        f"{ip} {_NOT_FROM_MEMBER}" if rule.not_from_member else "",
        f"{ip} {_TO_MEMBER}" if rule.to_member else "",
        _NFT_TO_HOST if rule.to_host else "",
        _NO_WAY_BACK if rule.no_way_back else "",
        _OFF_LINK if rule.off_link else "",
        _NFT_STATE if rule.known else "",
        f'counter name "{rule.counted}"' if rule.counted else "",
    ]
    matches = " ".join(filter(None, words))
    verdict = {
        **{v: v.value for v in (Verdict.ACCEPT, Verdict.DROP, Verdict.RETURN, Verdict.MASQUERADE)},
        Verdict.MASQUERADE_RANDOM: "masquerade fully-random",
        Verdict.KEEP_SOURCE: f"snat to {ip} saddr",
        Verdict.MARK: f"meta mark set meta mark | 0x{OVERLAY_MARK:08x}",
    }[rule.verdict]
    last = f"{matches} {verdict}".strip()
    return (*_NFT_KNOWN, last) if rule.fresh else (last,)


def _nft_ports(ports: Sequence[int]) -> str:
    return str(ports[0]) if len(ports) == 1 else f"{{ {', '.join(map(str, ports))} }}"


_NOT_UDP = "meta l4proto != udp"
_IPIP, _NOT_IPIP = "meta l4proto 4", "meta l4proto != 4"
_NAMED_IPIP = re.compile(r"(meta l4proto (?:!= )?)(?:ipencap|ipip)(?= |$)")
"""Protocol 4 as nft prints it: by the name that /etc/protocols has for it."""
_PORTS = re.compile(r"(udp|tcp) dport ([0-9]{1,5}|\{ [0-9]{1,5}(?:, [0-9]{1,5})* \}) ")
_BY_BRIDGE = 'meta iifkind "bridge"'
_FROM_MEMBER = f"saddr @{MEMBERS}"
_NOT_FROM_MEMBER = f"saddr != @{MEMBERS}"
_TO_MEMBER = f"daddr @{MEMBERS}"
_NFT_TO_HOST = "fib daddr type != unicast"
_NO_WAY_BACK = "fib saddr . iif oif missing"
_OFF_LINK = "fib daddr . iif oif missing"
_NFT_STATE = "ct state established,related"
_COUNTED = re.compile(r'counter name "([a-z]+)" ')


_NFT_KNOWN = ("ct state established,related return", "ct status dnat return")
"""nft's way of saying what is not fresh: one rule for each kind of knowledge."""

_NFT_VERDICTS = (
    (re.compile(r"snat to ip6? saddr$"), Verdict.KEEP_SOURCE),
    (re.compile(rf"meta mark set meta mark \| 0x{OVERLAY_MARK:08x}$"), Verdict.MARK),
    (re.compile(r"masquerade fully-random$"), Verdict.MASQUERADE_RANDOM),
    (re.compile(r"masquerade$"), Verdict.MASQUERADE),
    (re.compile(r"accept$"), Verdict.ACCEPT),
    (re.compile(r"drop$"), Verdict.DROP),
    (re.compile(r"return$"), Verdict.RETURN),
)


def _nft_match(name: str, value: IPNetwork | str | None, negated: bool) -> str:
    return f"{name} {'!= ' if negated else ''}{value}" if value else ""


def read_nft_rules(lines: Sequence[str]) -> tuple[Rule | OtherRule, ...]:
    """Read the rules of one chain as `nft --stateless list` prints them."""
    rules: list[Rule | OtherRule] = []
    rest = list(lines)
    while rest:
        fresh = tuple(rest[:2]) == _NFT_KNOWN and len(rest) > 2
        rules.append(_read_nft_rule(rest[2] if fresh else rest[0], fresh=fresh))
        del rest[: 3 if fresh else 1]
    return tuple(rules)


def _read_nft_rule(text: str, *, fresh: bool) -> Rule | OtherRule:
    for pattern, verdict in _NFT_VERDICTS:
        if (end := pattern.search(text)) is not None:
            body, phrases = _read_phrases(text[: end.start()])
            words = [word for word in body.replace('"', "").split() if word not in {"ip", "ip6"}]
            found = _read_matches(list(_negations_first(words)), _NFT_MATCHES)
            if found is not None:
                return Rule(verdict, fresh=fresh, **phrases, **found)
    return OtherRule(text)


_PHRASES = {
    "not_udp": _NOT_UDP,
    "not_ipip": _NOT_IPIP,
    "ipip": _IPIP,
    "by_bridge": _BY_BRIDGE,
    "from_member": _FROM_MEMBER,
    "not_from_member": _NOT_FROM_MEMBER,
    "to_member": _TO_MEMBER,
    "to_host": _NFT_TO_HOST,
    "no_way_back": _NO_WAY_BACK,
    "off_link": _OFF_LINK,
    "known": _NFT_STATE,
}


def _read_phrases(text: str) -> tuple[str, dict[str, Any]]:
    """Read the phrases without a value, the ports and the counter name; return the remaining text and the fields."""
    found: dict[str, Any] = {}
    text = _NAMED_IPIP.sub(r"\g<1>4", text)
    for name, phrase in _PHRASES.items():
        if phrase in text:
            found[name], text = True, text.replace(phrase, "", 1)
    if (ports := _PORTS.search(text)) is not None:
        found["ports"] = tuple(map(int, ports[2].strip("{ }").split(", ")))
        found["tcp"] = ports[1] == "tcp"
        text = text.replace(ports[0], "", 1)
    if (counted := _COUNTED.search(text)) is not None:
        found["counted"], text = counted[1], text.replace(counted[0], "", 1)
    return text, found


def _negations_first(words: Sequence[str]) -> Iterator[str]:
    """Rewrite `saddr != X` as `! saddr X`, iptables' order."""
    for index, word in enumerate(words):
        if words[index + 1 : index + 2] == ["!="]:
            yield from ("!", word)
        elif word != "!=":
            yield word


def _read_matches(words: list[str], names: dict[str, str]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    while words:
        negated = words[0] == "!"
        pair = words[negated : negated + 2]
        name = names.get(pair[0]) if len(pair) == 2 else None
        if name is None or name in found:
            return None
        try:
            found[name] = ip_network(pair[1]) if name in {"source", "destination"} else pair[1]
        except ValueError:
            return None
        if negated:
            found[f"not_{name}"] = True
        del words[: negated + 2]
    return found


def nft_family(family: Family) -> str:
    """Return nft's name of the family."""
    return "ip" if family is Family.IPV4 else "ip6"


def describe_change(obj: FilterObject, verb: str, previous: object = None) -> str:
    """Return the shell line that makes the change: `add`, `replace`, `del`, or `show` for people."""
    if obj.flavour is Flavour.NFT:
        return _nft_line(obj, verb)
    tool = f"{command(obj.flavour, obj.family)} -w -t {obj.table}"
    if verb == "show":
        return f"{tool} -S {obj.chain if isinstance(obj, FilterJump) else obj.name}"
    if isinstance(obj, FilterJump):
        places = previous.places if isinstance(previous, FilterJump) else ()
        gone = [f"-D {obj.chain} {obj.rule}"] * len(obj.places if verb == "del" else places)
        steps = gone if verb == "del" else [*gone, f"-I {obj.chain} 1 {obj.rule}"]
    elif verb == "del":
        steps = [f"-F {obj.name}", f"-X {obj.name}"]
    else:
        first = f"-N {obj.name}" if verb == "add" else f"-F {obj.name}"
        steps = [first, *(f"-A {obj.name} {iptables_rule(rule)}" for rule in obj.rules)]
    return " && ".join(f"{tool} {step}" for step in steps)


def _nft_line(obj: FilterObject, verb: str) -> str:
    if verb == "show":
        return f"nft list chain {_place(obj)}"
    return f"nft '{'; '.join(nft_steps(obj, verb))}'"


def nft_steps(obj: FilterObject, verb: str) -> tuple[str, ...]:
    """Return the commands of an nft script that put or delete a chain."""
    assert isinstance(obj, FilterChain), "nftables has no jumps of ours"
    place = _place(obj)
    table = f"{nft_family(obj.family)} {obj.table}"
    if verb == "del":
        return (f"flush chain {place}", f"delete chain {place}")
    rules = [rule for rule in obj.rules if isinstance(rule, Rule)]
    by_member = any(rule.to_member or rule.from_member or rule.not_from_member for rule in rules)
    counters = dict.fromkeys(rule.counted for rule in rules if rule.counted)
    return (
        f"add table {table}",
        *((member_set(obj.family),) if by_member else ()),
        *(f"add counter {table} {name}" for name in counters),
        f"add chain {place} {{ type {obj.hook}; policy accept; }}",
        f"flush chain {place}",
        *(f"add rule {place} {text}" for rule in obj.rules for text in nft_rules(rule, obj.family)),
    )


def member_set(family: Family) -> str:
    """Return the command that creates the set of the overlay's hosts if it does not exist."""
    kind = "ipv4_addr" if family is Family.IPV4 else "ipv6_addr"
    return f"add set {nft_family(family)} {NFT_TABLE} {MEMBERS} {{ type {kind}; }}"


def describe_member(member: FilterMember, verb: str) -> str:
    """Return the shell line that puts a host into the set, removes it, or shows it."""
    words = {"del": "delete", "show": "get"}.get(verb, "add")
    return f"nft '{words} element {nft_family(member.family)} {NFT_TABLE} {MEMBERS} {{ {member.address} }}'"


def _place(obj: FilterObject) -> str:
    name = obj.name if isinstance(obj, FilterChain) else obj.chain
    return f"{nft_family(obj.family)} {obj.table} {name}"
