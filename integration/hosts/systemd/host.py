"""Owns a host that boots: systemd as its first process, a file system of its own, real units, a reboot that is one.

What stands on it (Docker, ssh, Python) is in the root file system; the machine's own files are never written. It must
not know what is being tested: units and settings are put there by `write` and `run`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from integration.hosts.daemon import HostDaemon
from integration.hosts.host import Host
from integration.hosts.systemd.docker import HostDocker
from integration.net import topology
from integration.net.child import Child
from integration.net.namespaces import LabError, run
from integration.net.topology import Seat
from integration.net.waiting import wait_until

POWER = Path(__file__).with_name("power.sh")
OFFLINE = Path(__file__).with_name("offline.sh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = (f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER=", "PYTHONDONTWRITEBYTECODE=1")
BOOT_DEADLINE_S = 30.0
STOP_DEADLINE_S = 25.0
COMMAND_DEADLINE_S = 180.0
SETTLED = frozenset({"running", "degraded"})
_POWER_OFF = signal.SIGRTMIN + 4


class SystemdHost(Host):
    """A host to be switched on; `daemon`, the lab's flanpyd without systemd, is not used."""

    def __init__(
        self, name: str, seat: Seat, daemon: HostDaemon, *, switch: str, lower: Sequence[Path]
    ) -> None:
        super().__init__(name, seat, daemon)
        self._power = Child(f"{name} power", switch, log=self.directory / "console.log")
        self._argv = (str(POWER), str(self.directory), seat.namespace, switch, ":".join(map(str, lower)))
        self._leader = 0
        self.docker = HostDocker(self)
        self._write_hardware(switch)
        self.write("/etc/hostname", f"{name}\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{self.address} {name}\n")

    def _write_hardware(self, switch: str) -> None:
        mac = ":".join(f"{byte:02x}" for byte in (2, 0, *map(int, self.address.split("."))))
        batches = {
            "hardware": [f"netns add {self.namespace}", topology.cable_line(switch, self.seat)],
            "port": topology.port_lines(self.seat),
            "seat": [f"link set {self.seat.nic} address {mac}", *topology.seat_lines([self.seat])],
        }
        for name, lines in batches.items():
            (self.directory / f"{name}.batch").write_text("\n".join(lines) + "\n")

    def switch_on(self) -> None:
        """Begin to boot; does not wait. A host that is on already stays."""
        if not self._power.running:
            self._leader = 0
            self._power.start(["sh", *self._argv])

    def wait_booted(self, *, deadline: float = BOOT_DEADLINE_S) -> None:
        """Wait until every unit of the boot has started or failed."""
        wait_until(lambda: self.state() in SETTLED, f"{self.name} has booted", deadline=deadline, poll=0.05)

    def boot(self) -> None:
        """Switch on and wait until every unit has started or failed."""
        self.switch_on()
        self.wait_booted()

    def state(self) -> str:
        """Return the output of `systemctl is-system-running`: starting, running, degraded, ...; '' while it
        does not answer."""
        if not self.is_on:
            raise LabError(f"{self.name} is off: {self._power.log_tail(8)}")
        with contextlib.suppress(LabError):
            return self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return ""

    @property
    def is_on(self) -> bool:
        """Report whether the host has power (it may be booting)."""
        return self._power.running

    def stop(self) -> None:
        """Shut down in order and wait until it is off; what it wrote to disk stays."""
        if not self.is_on:
            return
        with contextlib.suppress(LabError, ProcessLookupError):
            os.kill(self.leader, _POWER_OFF)
        self._power.wait(deadline=STOP_DEADLINE_S)
        self._leader = 0

    def reboot(self) -> None:
        """`systemctl reboot`, and wait until it has booted again: the kernel's network state and /run are new."""
        before = self.leader
        self.run("systemctl", "reboot", check=False)
        self.wait_rebooted(before)

    def wait_rebooted(self, before: int) -> None:
        """Wait until another first process than `before` (a `leader` of old) has booted, at anyone's request."""
        wait_until(lambda: self._find_leader() not in {0, before}, f"{self.name} goes down and up",
                   deadline=STOP_DEADLINE_S + BOOT_DEADLINE_S, poll=0.05)  # fmt: skip
        self.wait_booted()

    @property
    def leader(self) -> int:
        """The pid, as seen from here, of its systemd."""
        if not self._leader or not Path(f"/proc/{self._leader}").exists():
            self._leader = self._find_leader()
        if not self._leader:
            raise LabError(f"{self.name} has no first process yet: {self._power.log_tail(8)}")
        return self._leader

    def _find_leader(self) -> int:
        """power.sh > boot.sh, which became nspawn > the first process of a pid namespace."""
        if not self._power.running:
            return 0
        nspawns = _children(self._power.pid)
        inits = [pid for nspawn in nspawns for pid in _children(nspawn) if _pid_inside(pid) == 1]
        return next((pid for pid in inits if _is_systemd(pid)), 0)

    def enter_argv(self) -> list[str]:
        """The words that run a command on the host."""
        return ["nsenter", "-t", str(self.leader), "-a", "--", "env", "-i", *ENVIRONMENT]

    def run(
        self, *argv: str, check: bool = True, timeout: float = COMMAND_DEADLINE_S, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host as root, with nothing of our environment."""
        return run([*self.enter_argv(), *argv], check=check, timeout=timeout, stdin=stdin)

    def run_as(self, user: str, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the host as another user."""
        return self.run("runuser", "-u", user, "--", *argv, check=check)

    def run_off(self, *argv: str) -> None:
        """Run a command on its file system while it is off, as one installs a system from outside."""
        if self.is_on:
            raise LabError(f"{self.name} is on")
        run(["unshare", "--mount", "--pid", "--fork", "--net", "sh", str(OFFLINE), *self._argv[1:2], self._argv[4],
             "env", "-i", *ENVIRONMENT, *argv], timeout=120)  # fmt: skip

    def path(self, inside: str) -> Path:
        """A file of the host as seen from here, while it is on. Not through a symlink with an absolute target."""
        return Path(f"/proc/{self.leader}/root", inside.lstrip("/"))

    def disk(self, inside: str) -> Path:
        """The same while it is off; only what was written on it, not what came with the root file system."""
        return self.directory / "up" / inside.lstrip("/")

    def _place(self, inside: str) -> Path:
        return self.path(inside) if self.is_on else self.disk(inside)

    def read(self, inside: str) -> str:
        """A file's text."""
        return self._place(inside).read_text()

    def write(self, inside: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file, with the directories it needs."""
        place = self._place(inside)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def exists(self, inside: str) -> bool:
        """Report whether the host has this file."""
        return self._place(inside).exists()

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        """`systemctl show`: properties of a unit."""
        wanted = [f"--property={','.join(properties)}"] if properties else []
        lines = self.run("systemctl", "show", name, *wanted).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def is_active(self, name: str) -> bool:
        """`systemctl is-active`."""
        return self.unit(name, "ActiveState")["ActiveState"] == "active"

    def failed_units(self) -> list[str]:
        """Units that failed since the boot."""
        listed = self.run("systemctl", "list-units", "--state=failed", "--plain", "--no-legend").stdout
        return [line.split()[0] for line in listed.splitlines() if line.split()]

    def journal(self, unit: str, *, lines: int = 200) -> str:
        """The last lines of a unit's journal, of this boot."""
        return self.run("journalctl", "-b", "-u", unit, "-n", str(lines), "-o", "short-monotonic").stdout

    def console_tail(self, lines: int = 20) -> str:
        """Return the last lines that the boot printed."""
        return self._power.log_tail(lines)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _pid_inside(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0


def _is_systemd(pid: int) -> bool:
    """Not lab-init before it becomes systemd: the host's mounts are not all made then."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"
    return False
