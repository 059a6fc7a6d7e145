"""Owns a lab whose hosts run Docker: the Lab of integration.lab, with an engine on every host."""

from __future__ import annotations

from typing import Any

from integration.hosts.engines.host import DockerHost
from integration.hosts.engines.releases import SYSTEM, release
from integration.hosts.lab import Lab
from integration.net.topology import Seat


class DockerLab(Lab):
    """Hosts with an engine each, not started yet. `engine` is Docker's version; `legacy` takes iptables-legacy."""

    hosts: tuple[DockerHost, ...]

    def __init__(self, hosts: int = 2, *, engine: str = SYSTEM, legacy: bool = False, **options: Any) -> None:
        super().__init__(hosts, **options)
        self._release = release(engine)
        self._legacy = legacy

    def _host(self, seat: Seat) -> DockerHost:
        plain = super()._host(seat)
        host = DockerHost(plain.name, seat, plain.daemon, release=self._release)
        host.furnish()
        if self._legacy:
            host.use_legacy_iptables()
        return host

    def start_engines(self) -> None:
        """Start every engine on what its host's subnet.env says, as an operator does by hand."""
        for host in self.hosts:
            wanted = host.subnet_file
            host.engine.start(bip=str(wanted.subnet), mtu=wanted.mtu)
