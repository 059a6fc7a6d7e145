"""Owns Podman on a host of its own files: its settings, its image, its containers. There is no daemon."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from integration.hosts.engines.container import EngineContainer
from integration.hosts.engines.host import DockerHost
from integration.hosts.engines.image import IMAGE, busybox_tar

_SETTINGS = {
    # runc is Docker's; limits are those of the lab's user, who may not raise them.
    "containers.conf": """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
""",
    # The host's files are an overlay already.
    "storage.conf": """\
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
""",
}


class Podman:
    """Podman on a host; `install` first."""

    def __init__(self, host: DockerHost) -> None:
        self.host = host

    def install(self) -> None:
        """Write its settings, and give it the one image."""
        directory = self.host.path("/etc/containers")
        directory.mkdir(exist_ok=True)
        for name, text in _SETTINGS.items():
            (directory / name).write_text(text)
        tar = self.host.directory / "busybox.tar"
        tar.write_bytes(busybox_tar())
        self.docker("import", str(tar), IMAGE)
        tar.unlink()

    def docker(
        self, *words: str, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run podman on the host; its words are Docker's."""
        return self.host.run("podman", *words, check=check, timeout=timeout)

    def inspect(self, *words: str) -> dict[str, Any]:
        """`podman [KIND] inspect NAME`, parsed."""
        found: list[dict[str, Any]] = json.loads(self.docker(*words[:-1], "inspect", words[-1]).stdout)
        return found[0]

    def run_container(self, name: str, *options: str, command: tuple[str, ...]) -> EngineContainer:
        """`podman run -d`."""
        named = ("--name", name, "--hostname", name)
        self.docker("run", "-d", *named, self._group, *options, IMAGE, *command)
        return EngineContainer(self, name)

    @property
    def _group(self) -> str:
        """A group of the lab's name, by which the lab finds and ends what is left."""
        return f"--cgroup-parent=/{self.host.namespace}"

    def in_the_lab(self, block: str) -> str:
        """Give every `podman run` of commands that somebody types the lab's group."""
        return block.replace("podman run ", f"podman run {self._group} ")
