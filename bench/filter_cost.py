"""Part `filter`: what each set of packet filter rules costs container to container: none, ours, Docker's, both.

The same two containers over VXLAN throughout; between takes all rules go, Docker's come or not, and the daemon starts
again with rules of its own or without.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench.figures import Figure, figure, paired_ratios
from bench.path import Line
from bench.run import Run
from integration.lab import Container, Host, Lab

_DOCKERS = """\
*nat
-A POSTROUTING -s {subnet} ! -o docker0 -j MASQUERADE
COMMIT
*filter
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
"""
"""What 20.10 has for its default bridge."""

_NOTE = (
    "Containers on two hosts over VXLAN with checksum offload; Docker's rules are those of 20.10 for its "
    "default bridge, ours those of iptables-nft. One set after the other in each turn, and ratios within a turn."
)


@dataclass(frozen=True, slots=True)
class _Rules:
    name: str
    text: str
    docker: bool
    ours: bool

    def put(self, hosts: Iterable[Host]) -> None:
        for host in hosts:
            host.daemon.stop()
            host.run("nft", "flush", "ruleset")
            if self.docker:
                text = _DOCKERS.format(subnet=host.subnet_file.subnet.network)
                host.run("iptables-nft-restore", "--noflush", stdin=text)
            host.daemon.up(
                f"--filter-backend={'iptables-nft' if self.ours else 'off'}", "--vxlan-tx-checksum"
            )


SETS = (
    _Rules("none", "no rules", docker=False, ours=False),
    _Rules("ours", "our rules", docker=False, ours=True),
    _Rules("docker", "Docker's rules", docker=True, ours=False),
    _Rules("both", "Docker's rules and ours", docker=True, ours=True),
)
_KINDS = (("udp", "64-byte datagrams", "k/s"), ("tcp", "TCP throughput", "Gbit/s"), ("ping", "ping", "us"))


def measure(run: Run) -> Iterable[Figure]:
    """Each set once a turn, in reverse order every second turn."""
    taken: dict[tuple[str, str], list[float]] = {}
    with Lab(hosts=2) as lab:
        lab.configure()
        lab.start_daemons("--filter-backend=off", deadline=60)
        one, other = lab.attach_containers()
        for turn in run.turns("filter: none, ours, Docker's, both", run.pick(7, 3)):
            for rules in reversed(SETS) if turn % 2 else SETS:
                rules.put(lab.hosts)
                for kind, value in _take(one, other, run.pick(2.0, 1.0)):
                    taken.setdefault((kind, rules.name), []).append(value)
    for kind, text, unit in _KINDS:
        for rules in SETS:
            yield figure(
                f"filter.{kind}.{rules.name}",
                f"{text}, {rules.text}",
                unit,
                taken[kind, rules.name],
                note=_NOTE,
            )
        for rules, base in ((SETS[1], "none"), (SETS[3], "docker")):
            ratios = paired_ratios(taken[kind, rules.name], taken[kind, base])
            what = f"  {text}: {rules.text} / {'no rules' if base == 'none' else 'without ours'}"
            yield figure(f"filter.{kind}.{rules.name}_ratio", what, "x", ratios)


def _take(one: Container, other: Container, seconds: float) -> Iterable[tuple[str, float]]:
    line = Line(one.namespace, other.namespace, other.address)
    until = time.monotonic() + 30
    while not one.ping(other).ok and time.monotonic() < until:
        pass  # each try waits a second for its answer
    yield "udp", line.rate("udp", seconds) / 1e3
    yield "tcp", line.rate("tcp", seconds) * 8e-9
    yield "ping", line.ping(200) * 1e3
