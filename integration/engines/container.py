"""Owns a real container as the tests see it: commands inside, its addresses, and traffic from and to it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from integration.lab import Container

if TYPE_CHECKING:
    from integration.engines.engine import Engine


class EngineContainer:
    """A container of an engine, by its name."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def inspect(self) -> dict[str, Any]:
        """`docker container inspect`, parsed."""
        return self.engine.inspect("container", self.name)

    def address(self, network: str = "bridge") -> str:
        """Its address on a Docker network."""
        return str(self.inspect()["NetworkSettings"]["Networks"][network]["IPAddress"])

    def exec(self, *argv: str, check: bool = True, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """`docker exec`: a command inside, with the image's programs only."""
        return self.engine.docker("exec", self.name, *argv, check=check, timeout=timeout)

    def remove(self) -> None:
        """`docker rm -f`."""
        self.engine.docker("rm", "-f", self.name)

    def as_end(self, network: str = "bridge") -> Container:
        """The same container for ping, Stream and Probe, which enter its network namespace with the host's programs.

        Take it anew after the container was started again: it has another namespace then.
        """
        found = self.inspect()
        settings = found["NetworkSettings"]
        sandbox = settings["SandboxKey"].replace("/var/run/", "/run/", 1)
        return Container(
            name=f"{self.engine.host.name}/{self.name}",
            host=self.engine.host.name,
            namespace=str(self.engine.host.path(sandbox)),
            port="",
            address=settings["Networks"][network]["IPAddress"],
            mtu=0,
        )
