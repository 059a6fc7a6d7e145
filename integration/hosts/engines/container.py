"""Owns a real container as the tests see it: commands inside, its addresses, and traffic from and to it."""

from __future__ import annotations

import subprocess
from typing import Any, Protocol

from integration.hosts.container import Container
from integration.hosts.machine import Machine


class Docker(Protocol):
    """The engine, as its containers need it."""

    @property
    def host(self) -> Machine: ...
    def docker(
        self, *words: str, check: bool = True, timeout: float = ...
    ) -> subprocess.CompletedProcess[str]: ...
    def inspect(self, *words: str) -> dict[str, Any]: ...


class EngineContainer:
    """A container of an engine, by its name."""

    def __init__(self, engine: Docker, name: str) -> None:
        self.engine = engine
        self.name = name

    def inspect(self) -> dict[str, Any]:
        """`docker container inspect`, parsed."""
        return self.engine.inspect("container", self.name)

    def addresses(self) -> dict[str, str]:
        """Its address on each Docker network it is on."""
        return addresses_in(self.inspect())

    def address(self, network: str = "bridge") -> str:
        """Its address on one Docker network."""
        return self.addresses()[network]

    def exec(self, *argv: str, check: bool = True, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """`docker exec`: a command inside, with the image's programs only."""
        return self.engine.docker("exec", self.name, *argv, check=check, timeout=timeout)

    def start(self) -> None:
        """`docker start`, after Docker was restarted."""
        self.engine.docker("start", self.name)

    def remove(self) -> None:
        """`docker rm -f`."""
        self.engine.docker("rm", "-f", self.name)

    def as_end(self, network: str = "") -> Container:
        """The same container for ping, Stream and Probe, which enter its network namespace with the host's programs.

        Its address is that on `network`, or on the only one it has. Take it again after the container was started
        again: it has another namespace then.
        """
        return self.end_of(self.inspect(), network)

    def end_of(self, inspected: dict[str, Any], network: str = "") -> Container:
        """as_end() from what inspect() said, for those who ask for many containers at once."""
        settings = inspected["NetworkSettings"]
        addresses = {name: found["IPAddress"] for name, found in settings["Networks"].items()}
        sandbox = settings["SandboxKey"].replace("/var/run/", "/run/", 1)
        return Container(
            name=f"{self.engine.host.name}/{self.name}",
            host=self.engine.host.name,
            namespace=str(self.engine.host.path(sandbox)),
            port="",
            address=addresses[network] if network else next(iter(addresses.values()), ""),
            mtu=0,
        )


def addresses_in(inspected: dict[str, Any]) -> dict[str, str]:
    """A container's address on each Docker network it has one on."""
    networks = inspected["NetworkSettings"]["Networks"]
    return {name: found["IPAddress"] for name, found in networks.items() if found["IPAddress"]}
