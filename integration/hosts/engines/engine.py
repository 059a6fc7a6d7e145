"""Owns one dockerd: its files, its life (as systemd would lead it), and `docker` commands to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from integration.hosts.engines.container import EngineContainer
from integration.hosts.engines.image import IMAGE, busybox_tar
from integration.hosts.engines.releases import Release
from integration.hosts.machine import Machine
from integration.net.namespaces import LabError
from integration.net.waiting import PATIENCE, wait_until

SERVICE = Path(__file__).with_name("service.sh")
SOCKET = "/run/docker.sock"
DAEMON_JSON = "/etc/docker/daemon.json"
START_DEADLINE_S = 30.0


class Engine:
    """A dockerd (with the containerd it starts) on a host. Paths are the host's own; `*_path` are as seen from here."""

    socket = SOCKET
    daemon_json = DAEMON_JSON
    restart_command = "systemctl restart docker"

    def __init__(self, host: Machine, release: Release) -> None:
        self.host = host
        self.release = release
        self._image_is_in = False

    @property
    def _directory(self) -> Path:
        return self.host.directory

    @property
    def socket_path(self) -> Path:
        """The API socket, to be connected to from here."""
        return self.host.path(SOCKET)

    @property
    def daemon_json_path(self) -> Path:
        """daemon.json, to be read and written from here."""
        return self.host.path(DAEMON_JSON)

    def install_service(self) -> None:
        """Put a stand-in for systemctl on the host, which knows this one unit."""
        settings = f"CGROUP=/{self.host.namespace}\nFLAGS=\n"
        (self._directory / "service.env").write_text(settings)
        command = self.host.path("/usr/bin/systemctl")
        command.unlink(missing_ok=True)
        command.write_text(f'#!/bin/sh\nexec sh {SERVICE} {self._directory} "$@"\n')
        command.chmod(0o755)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write daemon.json again; the next start reads it."""
        self.daemon_json_path.write_text(json.dumps(settings, indent=4) + "\n")

    def start(
        self, *, bip: str | None = None, mtu: int | None = None, daemon_json: Mapping[str, Any] | None = None
    ) -> None:
        """Start it and wait until it answers; with settings given, daemon.json is written again before."""
        given = {"bip": bip, "mtu": mtu, **(daemon_json or {})}
        if wanted := {key: value for key, value in given.items() if value is not None}:
            self.configure(wanted)
        self._service("start")
        if not self._image_is_in:
            self._import_image()

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._service("stop")

    def restart(self) -> None:
        """Restart dockerd, as `systemctl restart docker` does."""
        self._service("restart")

    def kill(self) -> None:
        """SIGKILL dockerd alone; its containerd and the containers live on."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.running, f"{self.host.name}: dockerd {pid} is gone", deadline=10)

    def freeze(self) -> None:
        """SIGSTOP: its socket takes connections and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def reload(self) -> None:
        """SIGHUP: it reads daemon.json again."""
        os.kill(self.pid, signal.SIGHUP)

    @property
    def running(self) -> bool:
        """Report whether dockerd runs now (a frozen one does)."""
        return self.host.run("systemctl", "is-active", "docker", check=False).returncode == 0

    @property
    def pid(self) -> int:
        """dockerd's pid; LabError when it does not run."""
        if not self.running:
            raise LabError(f"{self.host.name}: dockerd does not run")
        return int((self._directory / "dockerd.pid").read_text())

    def _service(self, verb: str) -> None:
        self.host.run("systemctl", verb, "docker", timeout=START_DEADLINE_S * PATIENCE)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines dockerd wrote."""
        with contextlib.suppress(FileNotFoundError):
            text = (self._directory / "dockerd.log").read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def docker(
        self, *words: str, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run the docker command line tool on the host."""
        return self.host.run("docker", *words, check=check, timeout=timeout)

    def inspect(self, *words: str) -> dict[str, Any]:
        """`docker [KIND] inspect NAME`, parsed."""
        found: list[dict[str, Any]] = json.loads(self.docker(*words[:-1], "inspect", words[-1]).stdout)
        return found[0]

    def inspect_containers(self) -> dict[str, dict[str, Any]]:
        """Return the output of `docker inspect` for every container that runs, by name."""
        found = json.loads(self.docker("inspect", *self.docker("ps", "-q").stdout.split()).stdout)
        return {each["Name"].lstrip("/"): each for each in found}

    def run_container(self, name: str, *options: str, command: tuple[str, ...] = ()) -> EngineContainer:
        """`docker run -d`; without a command it sleeps. It dies at once when it is stopped."""
        plain = command or ("sleep", "1000000")
        self.docker("run", "-d", "--name", name, "--stop-signal", "KILL", *options, IMAGE, *plain)
        return EngineContainer(self, name)

    def container(self, name: str) -> EngineContainer:
        """A container that is there already."""
        return EngineContainer(self, name)

    def remove_containers(self) -> None:
        """Remove every container and every network somebody made."""
        if containers := self.docker("ps", "-aq").stdout.split():
            self.docker("rm", "-f", *containers)
        self.docker("network", "prune", "-f")

    def bridge_network(self) -> tuple[str, int]:
        """Return Docker's actual defaults for containers: (subnet, MTU), whatever daemon.json says."""
        found = self.inspect("network", "bridge")
        mtu = found["Options"].get("com.docker.network.driver.mtu", "1500")
        return found["IPAM"]["Config"][0]["Subnet"], int(mtu)

    def docker0(self) -> IPv4Interface:
        """The address docker0 has in the kernel."""
        rows = self.host.ip_json("-4", "address", "show", "dev", "docker0")
        found = rows[0]["addr_info"][0]
        return IPv4Interface(f"{found['local']}/{found['prefixlen']}")

    def _import_image(self) -> None:
        tar = self._directory / "busybox.tar"
        tar.write_bytes(busybox_tar())
        self.docker("import", "-c", 'CMD ["sh"]', str(tar), IMAGE)
        tar.unlink()
        self._image_is_in = True
