"""Owns what tests do with a host's own Docker, which systemd starts: an image, containers, and what Docker runs."""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Interface
from typing import Any

from integration.hosts.container import Container
from integration.hosts.engines.container import addresses_in
from integration.hosts.engines.image import IMAGE, busybox_tar
from integration.hosts.machine import Machine


class HostDocker:
    """`docker` on one host."""

    def __init__(self, host: Machine) -> None:
        self._host = host

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the docker command line tool."""
        return self._host.run("docker", *words, check=check, timeout=180)

    def load_image(self) -> None:
        """Bring the tests' image; Docker has to run. One that is there stays."""
        if self("image", "inspect", IMAGE, check=False).returncode == 0:
            return
        self._host.path("/var/lib/docker/busybox.tar").write_bytes(busybox_tar())
        self("import", "-c", 'CMD ["sh"]', "/var/lib/docker/busybox.tar", IMAGE)
        self._host.path("/var/lib/docker/busybox.tar").unlink()

    def run_container(self, name: str, *options: str, command: tuple[str, ...] = ()) -> Container:
        """`docker run -d`; without a command it sleeps. It dies at once when it is stopped."""
        self.load_image()
        plain = command or ("sleep", "1000000")
        self("run", "-d", "--name", name, "--stop-signal", "KILL", *options, IMAGE, *plain)
        return self.container(name)

    def container(self, name: str) -> Container:
        """A running container, for pings and streams; take it again after it was started again."""
        found = self.inspect("container", name)
        sandbox = found["NetworkSettings"]["SandboxKey"].replace("/var/run/", "/run/", 1)
        return Container(
            name=f"{self._host.name}/{name}",
            host=self._host.name,
            namespace=str(self._host.path(sandbox)),
            port="",
            address=next(iter(addresses_in(found).values()), ""),
            mtu=0,
        )

    def remove_containers(self) -> None:
        """Remove every container."""
        if containers := self("ps", "-aq").stdout.split():
            self("rm", "-f", *containers)

    def inspect(self, *words: str) -> dict[str, Any]:
        """`docker [KIND] inspect NAME`, parsed."""
        found: list[dict[str, Any]] = json.loads(self(*words[:-1], "inspect", words[-1]).stdout)
        return found[0]

    def bridge_network(self) -> tuple[str, int]:
        """Return Docker's actual defaults for containers: (subnet, MTU), whatever daemon.json says."""
        found = self.inspect("network", "bridge")
        mtu = found["Options"].get("com.docker.network.driver.mtu", "1500")
        return found["IPAM"]["Config"][0]["Subnet"], int(mtu)

    def docker0(self) -> IPv4Interface:
        """The address docker0 has in the kernel."""
        found = self._host.ip_json("-4", "address", "show", "dev", "docker0")[0]["addr_info"][0]
        return IPv4Interface(f"{found['local']}/{found['prefixlen']}")
