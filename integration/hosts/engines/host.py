"""Owns a host that is more than a network namespace: its own /etc, /run and /var/lib too, with a Docker engine on them.

Everything stands where it stands on a real host: /etc/docker/daemon.json, /run/docker.sock, /run/xtables.lock. The
machine's own files are never written.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from integration.hosts.daemon import HostDaemon, flanpyctl
from integration.hosts.engines.engine import SERVICE, Engine
from integration.hosts.engines.releases import Release
from integration.hosts.host import Host
from integration.net.child import Child
from integration.net.namespaces import LabError, enter_argv, run
from integration.net.topology import Seat
from integration.net.waiting import wait_until

FURNISH = Path(__file__).with_name("furnish.sh")
INIT = Path(__file__).with_name("init.py")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin"
COMMAND_DEADLINE_S = 240.0
SWITCHED = ("iptables", "ip6tables")


class DockerHost(Host):
    """A host with `engine` on it; `daemon` (flanpyd) runs in the same network and mount namespaces."""

    def __init__(self, name: str, seat: Seat, daemon: HostDaemon, *, release: Release) -> None:
        super().__init__(name, seat, daemon)
        self._init = Child(f"{name} init", seat.namespace, log=daemon.directory / "init.log")
        self.release = release
        self.engine = Engine(self, release)

    def furnish(self) -> None:
        """Make the mount namespace; it lives as long as the lab."""
        init = (sys.executable, "-I", "-S", str(INIT), str(self.directory), str(SERVICE))
        engine = str(self.release.directory or "")
        script = ("sh", str(FURNISH), str(self.directory), engine, *init)
        self._init.start(["unshare", "--mount", "--propagation", "slave", *script])
        wait_until(self._furnished, f"{self.name}: its mounts", deadline=15)
        program = self.daemon.program
        self.daemon.program = replace(program, argv=(*self._mount_argv, *program.argv))
        self.engine.install_service()

    def _furnished(self) -> bool:
        if not self._init.running:
            raise LabError(f"{self.name}: no mount namespace of its own here: {self._init.log_tail(3)}")
        return (self.directory / "init.pid").exists()

    @property
    def _mount_argv(self) -> tuple[str, ...]:
        return ("nsenter", f"--mount=/proc/{self._init.pid}/ns/mnt", "--")

    def enter_argv(self) -> list[str]:
        """The words that run a command on the host: in its network namespace and among its files."""
        return [*enter_argv(self.namespace), *self._mount_argv]

    def run(
        self, *argv: str, check: bool = True, timeout: float = 60.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, with the variables flanpyctl finds this host's daemon by."""
        own = {"FLANPYD_SUBNET_FILE": str(self.daemon.subnet_path), "PATH": PATH}
        environment = {**self.daemon.environment, **own}
        return run([*self.enter_argv(), *argv], check=check, timeout=timeout, stdin=stdin, env=environment)

    def flanpyctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run flanpyctl on the host."""
        return self.run(*flanpyctl(), *words, check=check, timeout=COMMAND_DEADLINE_S)

    def path(self, inside: str) -> Path:
        """A file of the host as seen from here. Not through a symlink with an absolute target, such as /var/run."""
        return Path(f"/proc/{self._init.pid}/root", inside.lstrip("/"))

    def use_legacy_iptables(self) -> None:
        """Do what `update-alternatives --set iptables /usr/sbin/iptables-legacy` does, on this host only."""
        for tool in SWITCHED:
            for verb in ("", "-save", "-restore"):
                link = self.path(f"/etc/alternatives/{tool}{verb}")
                link.unlink(missing_ok=True)
                link.symlink_to(f"/usr/sbin/{tool}-legacy{verb}")
