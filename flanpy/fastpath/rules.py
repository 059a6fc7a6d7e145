"""Finds rules that look at each packet: under such a rule one packet of a flow says nothing of the next. Pure.

A flow's proof is a packet of its own that passed. That holds for rules which ask only for what all packets of a flow
have in common: links, addresses, ports, the connection's state and mark. Whatever else a rule asks for or does (a rate,
a length, a log, a queue, a copy) keeps the fast path off. The lists name what is known to be harmless, not what harms.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flanpy.errors import MALFORMED

IPTABLES_TABLES: Final = frozenset({"raw", "mangle", "nat", "filter", "security"})
"""Names of tables that iptables-nft keeps in nftables: read by iptables-nft-save, as nft cannot tell their matches."""

_DEAF_FAMILIES: Final = frozenset({"arp", "ip6"})
_STATEMENTS: Final = frozenset({
    "accept", "drop", "reject", "return", "jump", "goto", "continue", "counter", "masquerade", "snat", "dnat",
    "redirect", "vmap", "notrack", "comment",
})  # fmt: skip
_META: Final = frozenset({
    "iif", "oif", "iifname", "oifname", "iiftype", "oiftype", "iifgroup", "oifgroup", "iifkind", "oifkind", "ibrname",
    "obrname", "mark", "l4proto", "nfproto", "protocol", "skuid", "skgid", "cgroup", "pkttype",
})  # fmt: skip
_CONNECTION: Final = frozenset({
    "state", "status", "direction", "mark", "zone", "label", "saddr", "daddr", "proto-src", "proto-dst", "protocol",
    "l3proto", "helper", "ip saddr", "ip daddr",
})  # fmt: skip
_FIELDS: Final = frozenset({"saddr", "daddr", "sport", "dport", "protocol", "version", "type", "nexthdr"})
_SET_BY_RULES: Final = frozenset({"mark"})

_MODULES: Final = frozenset({
    "conntrack", "state", "addrtype", "comment", "tcp", "udp", "icmp", "multiport", "mark", "connmark", "set",
    "physdev", "owner", "iprange", "pkttype", "cgroup", "mac", "rpfilter", "socket", "sctp", "icmp6",
})  # fmt: skip
_TARGETS: Final = frozenset({
    "ACCEPT", "DROP", "REJECT", "RETURN", "MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP", "MARK", "CONNMARK", "CT",
    "NOTRACK", "TCPMSS",
})  # fmt: skip
_WORDS: Final = frozenset({
    "-A", "-s", "-d", "-i", "-o", "-p", "-m", "-j", "-g", "!", "--sport", "--dport", "--sports", "--dports", "--ports",
    "--ctstate", "--state", "--ctstatus", "--ctdir", "--ctproto", "--ctorigsrc", "--ctorigdst", "--ctorigdstport",
    "--ctreplsrc", "--ctrepldst", "--src-type", "--dst-type", "--limit-iface-in", "--limit-iface-out", "--comment",
    "--mark", "--match-set", "--physdev-in", "--physdev-out", "--physdev-is-bridged", "--physdev-is-in",
    "--physdev-is-out", "--uid-owner", "--gid-owner", "--src-range", "--dst-range", "--pkt-type", "--cgroup", "--path",
    "--mac-source", "--icmp-type", "--reject-with", "--to-source", "--to-destination", "--to-ports", "--to", "--random",
    "--random-fully", "--persistent", "--set-mark", "--set-xmark", "--or-mark", "--and-mark", "--xor-mark",
    "--save-mark", "--restore-mark", "--nfmask", "--ctmask", "--mask", "--notrack", "--zone", "--clamp-mss-to-pmtu",
    "--set-mss", "--loose", "--validmark", "--accept-local", "--invert", "--helper",
})  # fmt: skip
_BEGINNINGS: Final = frozenset({"SYN", "FIN", "RST", "ACK"})
"""TCP flags which packets that are carried fast have alike."""


def unfit_nft(listed: str, *, without_iptables: bool) -> str:
    """Return the first rule of `nft -j list ruleset` that looks at each packet, as a text; "" if there is none."""
    try:
        items = json.loads(listed or "{}").get("nftables", ())
        return next(_unfit_rules(items, without_iptables=without_iptables), "")
    except MALFORMED as error:
        return f"a ruleset that is not understood ({type(error).__name__})"


def _unfit_rules(items: Iterable[Mapping[str, Any]], *, without_iptables: bool) -> Iterator[str]:
    for item in items:
        if (table := item.get("flowtable")) is not None:
            yield f"flowtable {table['name']} of table {table['table']}"
        rule = item.get("rule")
        if rule is None or rule["family"] in _DEAF_FAMILIES:
            continue
        if without_iptables and rule["family"] == "ip" and rule["table"] in IPTABLES_TABLES:
            continue
        for expression in rule["expr"]:
            if not _is_fit(expression):
                text = json.dumps(expression)[:120]
                yield f"{text} in chain {rule['chain']} of table {rule['family']} {rule['table']}"


def _is_fit(expression: Mapping[str, Any]) -> bool:
    ((kind, body),) = expression.items()
    if kind == "match":
        return _is_fit_value(body["left"])
    if kind == "mangle":
        key = body["key"]
        return any(key.get(place, {}).get("key") in _SET_BY_RULES for place in ("meta", "ct"))
    return kind in _STATEMENTS


def _is_fit_value(value: Any) -> bool:
    """Report whether all packets of a flow have this value in common."""
    if not isinstance(value, Mapping):
        return False
    ((kind, body),) = value.items()
    match kind:
        case "meta":
            return body["key"] in _META
        case "ct":
            return body["key"] in _CONNECTION
        case "fib":
            return True
        case "payload":
            return body.get("field") in _FIELDS
        case "&" | "concat":
            return _is_flags(body) or all(_is_fit_value(one) for one in body if isinstance(one, Mapping))
    return False


def _is_flags(body: Any) -> bool:
    """Report whether it masks TCP flags that say only whether a connection begins or ends."""
    left, mask = body[0], body[1] if len(body) == 2 else None
    if left != {"payload": {"protocol": "tcp", "field": "flags"}}:
        return False
    parts = mask.get("|", [mask]) if isinstance(mask, Mapping) else mask if isinstance(mask, list) else [mask]
    return all(isinstance(part, str) and part.upper() in _BEGINNINGS for part in parts)


def unfit_saved(saved: str) -> str:
    """Return the first rule of iptables-save's output that looks at each packet; "" if there is none."""
    chains = {line[1:].split()[0] for line in saved.splitlines() if line.startswith(":")}
    return next(
        (line for line in saved.splitlines() if line.startswith("-A") and not _is_fit_line(line, chains)), ""
    )


def _is_fit_line(line: str, chains: set[str]) -> bool:
    try:
        words = shlex.split(line)
    except ValueError:
        return False
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if at and words[at - 1] == "--comment":
            continue
        if word == "-m" and following not in _MODULES:
            return False
        if word in {"-j", "-g"} and following not in _TARGETS and following not in chains:
            return False
        if word == "--tcp-flags":
            if not set(following.split(",")) <= _BEGINNINGS:
                return False
        elif word.startswith("-") and word not in _WORDS:
            return False
    return True
