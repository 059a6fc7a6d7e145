"""Scenario S2: everything an ordinary Docker host does, tried on one, as outcomes that can be compared.

Outcomes are words: addresses that depend on the subnet are replaced by whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from integration.hosts.engines import SERVE, DockerHost, EngineContainer, addresses_in
from integration.lab import Container
from tests.engines.outside import PORT, World, ask, ask_udp, echoing, ping_by_name

NETWORKS = {
    "net1": ("--subnet", "172.31.5.0/24", "--gateway", "172.31.5.254"),
    "net2": (),
    "inner": ("--internal",),
    "silent": ("-o", "com.docker.network.bridge.enable_icc=false"),
}
PARALLEL = 24
HIGHEST_CHOSEN_BY_US = 9000
WHOAMI = "http://127.0.0.1/cgi-bin/whoami"

T = TypeVar("T")
Probe = Callable[[], str]


class NormalHost:
    """Networks and containers of every sort on `host`, and probes between them and the outside."""

    def __init__(self, host: DockerHost, world: World) -> None:
        self.host = host
        self.world = world
        self.containers: dict[str, EngineContainer] = {}
        self._ends: dict[str, Container] = {}
        self._networks: dict[str, dict[str, str]] = {}
        self._gateway = ""

    def probe(self) -> dict[str, str]:
        """Set everything up, try everything, and take it away again."""
        self.set_up()
        try:
            return self.outcomes()
        finally:
            self.tear_down()

    def set_up(self) -> None:
        for name, options in NETWORKS.items():
            self.host.engine.docker("network", "create", *options, name)
        address = self.host.address
        self._run("web", "-p", "8080:80", "-p", f"{address}:8081:80", "-p", "127.0.0.1:8082:80",
                  "-p", f"{address}::80", "-p", "8100-8101:80-81")  # fmt: skip
        runs: list[Callable[[], None]] = [
            lambda: self._run("all-ports", "-P", "--expose", "80"),
            lambda: self._run("udp", "-p", "9000:9000/udp"),
            lambda: self._run("plain"),
            lambda: self._run("hosted", "--network", "host", command=("httpd", "-f", "-p", "8085", "-h", "/www")),
            lambda: self._run("alone", "--network", "none"),
            lambda: self._run("shared", "--network", "container:web", command=("sleep", "1000000")),
            lambda: self._run("n1a", "--network", "net1", "--ip", "172.31.5.77"),
            lambda: self._run("n1b", "--network", "net1", "--network-alias", "also", "-p", "8083:80"),
            lambda: self._run("n2a", "--network", "net2"),
            lambda: self._run("both", "--network", "net1"),
            lambda: self._run("in1", "--network", "inner"),
            lambda: self._run("si1", "--network", "silent"),
            lambda: self._run("si2", "--network", "silent", "-p", "8084:80"),
        ]  # fmt: skip
        _all_at_once(runs, parallel=4)
        self.host.engine.docker("network", "connect", "net2", "both")
        self._look()

    def _run(self, name: str, *options: str, command: tuple[str, ...] = SERVE) -> None:
        named = () if "host" in options or "container:web" in options else ("--hostname", name)
        self.containers[name] = self.host.engine.run_container(name, *named, *options, command=command)

    def tear_down(self) -> None:
        self.host.engine.remove_containers()
        self.containers.clear()

    def outcomes(self) -> dict[str, str]:
        """Run every probe and return its outcome, in words."""
        probes = {**self._out(), **self._in(), **self._on_the_host(), **self._between()}
        with echoing(self._ends["udp"].namespace, 9000):
            found = dict(zip(probes, _all_at_once(list(probes.values())), strict=True))
        words = self._words()
        return {probe: _in_words(outcome, words) for probe, outcome in found.items()}

    def _out(self) -> dict[str, Probe]:
        asking = ("plain", "web", "hosted", "n1a", "both", "si1", "in1", "alone")
        return {f"{name} asks outside": self._asks(name, self.world.address, PORT) for name in asking} | {
            "plain pings outside": lambda: str(self._ends["plain"].ping(self.world.address, wait=4).ok),
            "alone has links": lambda: self._links("alone"),
            "hosted has the host's links": lambda: str("docker0" in self._links("hosted")),
            "n1a has routes": lambda: self.containers["n1a"].exec("ip", "route").stdout,
        }

    def _in(self) -> dict[str, Probe]:
        ports = {
            "-p 8080:80": 8080, "-p ip:8081:80": 8081, "-p 127.0.0.1:8082:80": 8082, "-p 8083:80 on net1": 8083,
            "-p 8084:80 without icc": 8084, "8085 in host mode": 8085, "-p 8100-8101:80-81": 8100,
            "-p 8100-8101:80-81, the second": 8101, "-p ip::80": self._published("web", self.host.address),
            "-P": self._published("all-ports", "0.0.0.0"),
        }  # fmt: skip
        direct = {
            f"{name} itself": self._neighbour_asks(name) for name in ("plain", "web", "n1a", "si2", "udp")
        }
        asked = {form: self._asks("", self.host.address, port) for form, port in ports.items()}
        return {f"outside asks {what}": probe for what, probe in {**asked, **direct}.items()} | {
            "outside asks -p 9000:9000/udp": lambda: ask_udp(self.world.namespace, self.host.address, 9000),
            "outside asks plain itself by udp": lambda: ask_udp(
                self.world.namespace, self._address("udp"), 9000
            ),
        }

    def _on_the_host(self) -> dict[str, Probe]:
        host, gateway = self.host.address, self._gateway
        return {
            "host asks 127.0.0.1:8080": self._asks("hosted", "127.0.0.1", 8080),
            "host asks 127.0.0.1:8081": self._asks("hosted", "127.0.0.1", 8081),
            "host asks 127.0.0.1:8082": self._asks("hosted", "127.0.0.1", 8082),
            "host asks its address:8080": self._asks("hosted", host, 8080),
            "host asks web itself": self._asks("hosted", self._address("web"), 80),
            "plain asks the host's published port": self._asks("plain", host, 8080),
            "web asks its own published port": self._asks("web", host, 8080),
            "n1a asks the host's published port": self._asks("n1a", host, 8080),
            "plain asks host mode by the gateway": self._asks("plain", gateway, 8085),
            "plain asks host mode by the host's address": self._asks("plain", host, 8085),
            "shared asks itself": lambda: (
                self.containers["shared"].exec("wget", "-qO-", WHOAMI).stdout.replace("::ffff:", "")
            ),
        }

    def _between(self) -> dict[str, Probe]:
        pairs = [
            ("plain", "web"), ("web", "plain"), ("plain", "n1a"), ("n1a", "plain"), ("n1b", "n2a"), ("n2a", "n1b"),
            ("n1b", "both"), ("both", "n2a"), ("in1", "plain"), ("plain", "in1"), ("si1", "si2"), ("plain", "si1"),
            ("si1", "plain"),
        ]  # fmt: skip
        named = [
            ("n1a", "n1b"),
            ("n1a", "also"),
            ("both", "n1a"),
            ("both", "n2a"),
            ("n1a", "n2a"),
            ("n2a", "both"),
        ]
        return {
            f"{one} asks {other}": self._asks(one, self._address(other, one), 80) for one, other in pairs
        } | {f"{one} pings {name} by name": self._pings_by_name(one, name) for one, name in named}

    def _asks(self, name: str, address: str, port: int) -> Probe:
        """From a container, the host's own namespace, or ('') from outside."""
        return lambda: ask(self._ends[name].namespace if name else self.world.namespace, address, port)

    def _links(self, name: str) -> str:
        return self.containers[name].exec("ls", "/sys/class/net").stdout

    def _asks_udp(self, address: str) -> Probe:
        return lambda: ask_udp(self.world.namespace, address, 9000)

    def _pings_by_name(self, one: str, name: str) -> Probe:
        return lambda: ping_by_name(self.containers[one], name)

    def _neighbour_asks(self, name: str) -> Probe:
        """As a machine on the underlay may try that routes the container's address to this host."""
        address = self._address(name)
        self.world.host.ip(f"route replace {address}/32 via {self.host.address}")
        return self._asks("", address, 80)

    def _look(self) -> None:
        """Note every container's addresses and namespace."""
        found = self.host.engine.inspect_containers()
        self._ends = {name: container.end_of(found[name]) for name, container in self.containers.items()}
        self._ends["hosted"] = replace(self._ends["hosted"], namespace=self.host.namespace)
        self._networks = {name: addresses_in(found[name]) for name in self.containers}
        self._gateway = str(self.host.engine.docker0().ip)

    def _address(self, name: str, seen_from: str = "") -> str:
        """On a network both are on, if there is one."""
        shared = self._networks[name].keys() & self._networks.get(seen_from, {}).keys()
        return self._networks[name][next(iter(sorted(shared or self._networks[name])))]

    def _published(self, name: str, address: str) -> int:
        """The port that Docker chose."""
        rows = self.containers[name].inspect()["NetworkSettings"]["Ports"]["80/tcp"]
        chosen = (int(row["HostPort"]) for row in rows if row["HostIp"] == address)
        return next(port for port in chosen if port > HIGHEST_CHOSEN_BY_US)

    def _words(self) -> dict[str, str]:
        """Return the owner of each address."""
        own = {self.host.address: "host", self._gateway: "gateway"}
        words = own | {self.world.address: "outside"}
        for name, addresses in self._networks.items():
            words |= {address: f"{name} on {network}" for network, address in addresses.items()}
        return words


def _in_words(outcome: str, words: dict[str, str]) -> str:
    outcome = re.sub(r"\[(?:::ffff:)?([\d.]+)\]", r"\1", outcome)
    found = re.sub(r"\d+(\.\d+){3}(/\d+)?", lambda match: words.get(match[0], match[0]), outcome)
    return " ".join(found.split())


def _all_at_once(work: Iterable[Callable[[], T]], *, parallel: int = PARALLEL) -> list[T]:
    with ThreadPoolExecutor(parallel) as pool:
        return [done.result() for done in [pool.submit(one) for one in work]]
