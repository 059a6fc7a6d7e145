"""Owns the program of flanpy-docker-names.service on one host."""

from __future__ import annotations

from integration.hosts.daemon import flanpyctl
from integration.hosts.engines.host import PATH, DockerHost
from integration.net.child import Child

RESOLVER = "169.254.53.53"
"""The address at which flanpyd answers containers, by the documentation."""


class NamesProgram:
    """Tells flanpyd what Docker's containers are called, from `start` to `stop`."""

    def __init__(self, host: DockerHost) -> None:
        self.host = host
        self._child = Child(f"{host.name} names", "", log=host.directory / "names.log")

    def start(self) -> None:
        """Start it; it goes on while Docker is away."""
        environment = {**self.host.daemon.environment, "PATH": PATH}
        words = (*flanpyctl(), "docker", "names", "--follow")
        self._child.start([*self.host.enter_argv(), *words], env=environment)

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._child.stop()

    def kill(self) -> None:
        """SIGKILL: it writes nothing more."""
        self._child.kill()
