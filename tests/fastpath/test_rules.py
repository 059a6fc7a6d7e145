"""Rules under which one packet of a flow speaks for the next, and rules under which none does."""

from __future__ import annotations

import pytest

from flanpy.fastpath.rules import unfit_nft, unfit_saved
from tests.netns import namespace

_DOCKER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A DOCKER-USER -m comment --comment "-m limit is only said here" -j RETURN
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE --random-fully
-A POSTROUTING -m addrtype ! --dst-type LOCAL -j MASQUERADE
COMMIT
"""


def test_rules_of_docker_are_fit() -> None:
    assert unfit_saved(_DOCKER) == ""


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -m limit --limit 5/sec -j ACCEPT",
        "-A FORWARD -m hashlimit --hashlimit-above 1000/sec --hashlimit-mode srcip --hashlimit-name a -j DROP",
        "-A FORWARD -m length --length 1000:1500 -j DROP",
        '-A FORWARD -m string --string "x" --algo bm -j DROP',
        "-A FORWARD -m statistic --mode random --probability 0.1 -j DROP",
        "-A FORWARD -j LOG",
        "-A FORWARD -j NFQUEUE --queue-num 1",
        "-A PREROUTING -j TRACE",
        "-A FORWARD -j DSCP --set-dscp 0x10",
        "-A FORWARD -p tcp -m tcp --tcp-flags PSH PSH -j DROP",
        "-A FORWARD -m ttl --ttl-lt 3 -j DROP",
        "-A FORWARD -f -j DROP",
    ],
)
def test_rule_that_looks_at_each_packet_is_named(rule: str) -> None:
    assert unfit_saved(_DOCKER.replace("COMMIT", f"{rule}\nCOMMIT", 1)) == rule


def test_rules_of_nft_are_judged_by_what_they_ask_for() -> None:
    fit = """table inet a { set s { type ipv4_addr; }
      chain d { fib daddr type local return; ct mark 1 accept; }
      chain c { type filter hook forward priority 0; policy drop;
      ct state established,related accept; iifname "docker0" oifname != "docker0" counter accept;
      ip saddr @s tcp dport { 80, 443 } accept; tcp flags & (syn | rst) == syn accept; meta mark set 0x1; jump d; }
      }"""
    with namespace("rules") as here:
        here.run("nft", "-f", "-", stdin=fit)
        listed = here.run("nft", "-j", "list", "ruleset")
        assert unfit_nft(listed, without_iptables=True) == ""
        for rule in (
            "limit rate 5/second accept", "meta length > 1000 drop", "log", "ip ttl 5 drop",
            "numgen random mod 10 < 1 drop", "tcp flags psh drop", "quota over 10 mbytes drop", "ip dscp set cs1",
            "meta nftrace set 1", "update @m { ip saddr timeout 1m }",
        ):  # fmt: skip
            here.run("nft", "flush", "ruleset")
            extra = "set m { type ipv4_addr; flags dynamic,timeout; }"
            chain = f"chain c {{ type filter hook forward priority 0;\n {rule}\n }}"
            here.run("nft", "-f", "-", stdin=f"table ip a {{ {extra}\n {chain}\n }}")
            listed = here.run("nft", "-j", "list", "ruleset")
            assert "in chain c of table ip a" in unfit_nft(listed, without_iptables=True), rule
