"""Owns finding one's way in a lab that was left up: its hosts, its switch and its etcd, from what it wrote down.

Its programs are not our children: they are found by what they were started with, and what is started again here goes on
when this command ends.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integration.etcd.cluster import Etcd, EtcdMember
from integration.hosts.cables import Faults
from integration.hosts.container import Container
from integration.hosts.daemon import HostDaemon, Marks, Program, ReadyBy
from integration.hosts.host import Host
from integration.net import claim, namespaces, topology
from integration.net.child import STOP_DEADLINE_S, Child
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until


class Adopted(Child):
    """A program that another command started, until it is started again from here."""

    sign: str
    """A word of its command line that no other program of its namespace has."""

    @property
    def pid(self) -> int:
        """Its pid; LabError when it does not run."""
        if self._running is not None:
            return super().pid
        for pid in namespaces.pids_in([self.namespace]):
            if self.sign in _words(pid):
                return pid
        raise LabError(f"{self.name} does not run")

    @property
    def running(self) -> bool:
        """Report whether the process runs now (a frozen one does)."""
        if self._running is not None:
            return super().running
        try:
            return self.pid > 0
        except LabError:
            return False

    def kill(self) -> None:
        """SIGKILL and wait for the end."""
        self._end(signal.SIGKILL)

    def stop(self, *, deadline: float = STOP_DEADLINE_S) -> int | None:
        """SIGTERM and wait for the end."""
        self._end(signal.SIGTERM)
        return None

    def _end(self, how: signal.Signals) -> None:
        if self._running is None and self.running:
            pid = self.pid
            self.remember(pid)
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, how)
            wait_until(lambda: _has_ended(pid), f"{self.name} ends", deadline=STOP_DEADLINE_S)
        else:
            super().kill()

    def remember(self, pid: int) -> None:
        """Keep what is needed to start it again as it was."""


class AdoptedDaemon(Adopted, HostDaemon):
    """The daemon of a host; it is started again with the command line that it had."""

    _before: tuple[list[str], dict[str, str]] | None = None

    def remember(self, pid: int) -> None:
        """Keep its command line and its variables."""
        self._before = (_words(pid), _environment(pid))

    def relaunch(self, *, env: Mapping[str, str] | None = None) -> None:
        """Start it as it was started."""
        if self._before is None:
            super().relaunch(env=env)
        else:
            argv, variables = self._before
            self.start(argv, env={**variables, **(env or {})})


class AdoptedMember(Adopted, EtcdMember):
    """A member of etcd."""


class StandingLab:
    """The lab of a number; LabError if it was not left up."""

    def __init__(self, number: int) -> None:
        directory = claim.directory_of(number)
        if directory is None or not (directory / "lab.json").exists():
            raise LabError(f"lab {number} was not left up: python -m integration up")
        self.directory = directory
        said = json.loads((directory / "lab.json").read_text())
        prefix = f"fp{number}-"
        self.switch = prefix + topology.SWITCH
        self.etcd = Etcd([self._member(row) for row in said["etcd"]])
        self.faults = Faults(self.switch)
        self._program = _program(said["program"])
        self.hosts = tuple(self._host(prefix, row) for row in said["hosts"])

    def host(self, name: str) -> Host:
        """A host by its name; LabError naming those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"no host {name}; there are {', '.join(host.name for host in self.hosts)}")

    def _member(self, row: dict[str, str]) -> EtcdMember:
        member = AdoptedMember(
            _short(row["namespace"]), row["namespace"], row["address"], directory=self.directory
        )
        member.sign = str(member.storage)
        return member

    def _host(self, prefix: str, row: dict[str, Any]) -> Host:
        name = str(row["name"])
        segment = 100 - int(str(row["address"]).split(".")[1])
        seat = topology.seat_host(prefix, int(name[1:]), segment=segment, mtu=1500)
        daemon = AdoptedDaemon(
            name,
            seat.namespace,
            self._program,
            directory=Path(str(row["directory"])),
            endpoints=self.etcd.endpoints,
        )
        daemon.sign = f"--subnet-file={daemon.subnet_path}"
        host = Host(name, seat, daemon)
        for number, one in enumerate(row["containers"], 1):
            host.containers.append(
                Container(f"{name}c{number}", name, one["namespace"], f"veth{number}", one["address"], 1450)
            )
        return host


def the_lab(number: int | None) -> int:
    """Return the number, or that of the only lab that was left up; LabError when there is more than one, or none."""
    kept = [one for one in claim.numbers() if claim.is_kept(one)]
    if number is not None:
        return number
    if len(kept) != 1:
        raise LabError(
            f"{len(kept)} labs are up ({', '.join(map(str, kept)) or 'none'}): say which with --lab N"
        )
    return kept[0]


def _program(said: dict[str, Any]) -> Program:
    return Program(tuple(said["argv"]), ReadyBy(said["ready_by"]), Marks(**said["marks"]))


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:  # gone meanwhile
        return []


def _has_ended(pid: int) -> bool:
    """Report whether the process is gone with all its threads, or a zombie that nobody has waited for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    except OSError:
        return True


def _environment(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def _short(namespace: str) -> str:
    return namespace.rpartition("-")[2]
