"""Hosts as an operator has them once flanpy and Docker are set up, a container on each, and what must hold then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from integration.hosts.engines import FETCHED, SERVE, SYSTEM, DockerHost, DockerLab, EngineContainer
from integration.lab import Stream
from tests.engines.outside import PORT, SILENT, World, ask
from tests.lab.overlay import eventually

DEADLINE_S = 10.0
ENGINES = [SYSTEM, *(pytest.param(version, marks=pytest.mark.more_engines) for version in FETCHED)]
"""For parameters: the system's engine always, those of `make engines` when they are asked for."""
MOST_GAP_MS = 10_000
"""Repairs take well under a second; the rest is for TCP to try again, and for a machine that stands still."""


@dataclass(frozen=True)
class Overlay:
    """Two hosts with flanpy and a container each, and a world outside."""

    lab: DockerLab
    one: EngineContainer
    two: EngineContainer
    world: World

    @property
    def hosts(self) -> tuple[DockerHost, DockerHost]:
        return self.lab.hosts[0], self.lab.hosts[1]

    def assert_works(self) -> None:
        """Both ways, by the containers' own addresses; what leaves the network has its host's; strangers stay out."""
        self.assert_reach()
        eventually(lambda: not self._wrong_outside(), self._wrong_outside, deadline=DEADLINE_S)

    def assert_reach(self) -> None:
        """Both ways, by the containers' own addresses."""
        eventually(lambda: not self._wrong_inside(), self._wrong_inside, deadline=DEADLINE_S)

    def _wrong_inside(self) -> list[str]:
        one, two = self.one.as_end(), self.two.as_end()
        return _differences(
            ("one asks two", ask(one.namespace, two.address, 80, tries=1), f"two {one.address}"),
            ("two asks one", ask(two.namespace, one.address, 80, tries=1), f"one {two.address}"),
        )

    def _wrong_outside(self) -> list[str]:
        one, host = self.one.as_end(), self.hosts[0].address
        return _differences(
            ("one asks outside", ask(one.namespace, self.world.address, PORT, tries=1), host),
            ("outside asks one", ask(self.world.namespace, one.address, 80, tries=1), SILENT),
        )


def _differences(*rows: tuple[str, str, str]) -> list[str]:
    return [f"{what}: {came}, not {wanted}" for what, came, wanted in rows if came != wanted]


def set_up(
    lab: DockerLab,
    world: World,
    *,
    daemon_json: Mapping[str, object] | None = None,
    apply: Sequence[str] = ("--restart", "always"),
    run: Sequence[str] = (),
) -> Overlay:
    """Docker first, as on a machine that had it before (so that FORWARD is DROP), then flanpy, then containers."""
    hosts = lab.hosts[:2]
    for host in hosts:
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        host.engine.configure(daemon_json or {})
        host.engine.start()
    lab.configure()
    for host in hosts:
        host.daemon.launch("--ip-masq")
    for host in hosts:
        host.daemon.wait_ready()
        host.flanpyctl("docker", "apply", *apply)
    one, two = (box(host, name, *run) for host, name in zip(hosts, ("one", "two"), strict=True))
    world.host.ip(f"route replace {one.as_end().address}/32 via {hosts[0].address}")
    overlay = Overlay(lab, one, two, world)
    overlay.assert_works()
    return overlay


def box(host: DockerHost, name: str, *options: str) -> EngineContainer:
    """A container on the host's default bridge, which says at port 80 who it is and whom it sees."""
    return host.engine.run_container(name, "--hostname", name, *options, command=SERVE)


def stream(source: EngineContainer, target: EngineContainer) -> Stream:
    """A stream between two containers; `with` starts it."""
    return Stream(source.as_end(), target.as_end())


def policy(host: DockerHost) -> str:
    """The policy of FORWARD, in the flavour of iptables in use."""
    return host.run("iptables", "-S", "FORWARD").stdout.splitlines()[0].split()[-1]
