"""Owns an operator's machine: a directory with an inventory and an ssh key, from which playbooks run on a lab's hosts.

Plays run in the lab's operator namespace and reach the hosts over ssh. It must not know what the plays do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from integration.hosts.systemd.host import SystemdHost
from integration.hosts.systemd.lab import SystemdLab
from integration.net.claim import PROJECT_ROOT
from integration.net.namespaces import enter_argv
from integration.net.waiting import wait_until

COLLECTIONS = PROJECT_ROOT / "deploy/ansible"
PLAY_DEADLINE_S = 900.0
_RECAP = re.compile(r"^(\S+)\s+: (ok=\d+.*)$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Played:
    """The result of a run of ansible-playbook."""

    code: int
    text: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Counts by host: ok, changed, failed, ..."""
        _, _, end = self.text.rpartition("PLAY RECAP")
        return {
            host: {name: int(value) for name, value in (word.split("=") for word in counts.split())}
            for host, counts in _RECAP.findall(end)
        }

    def total(self, name: str) -> int:
        """A count over all hosts."""
        return sum(counts[name] for counts in self.recap.values())

    def changes(self) -> list[str]:
        """Names of the tasks that changed something, without their roles'."""
        tasks = re.split(r"^(?:TASK|RUNNING HANDLER) \[", self.text, flags=re.MULTILINE)[1:]
        return [
            task.partition("]")[0].rpartition(" : ")[2]
            for task in tasks
            if re.search(r"^changed: ", task, re.MULTILINE)
        ]


def _lets_in(host: SystemdHost) -> bool:
    """Report whether the host takes connections by ssh; Ubuntu 24.04 starts the server at the first one."""
    return host.is_active("ssh.service") or host.is_active("ssh.socket")


class Controller:
    """Runs plays on `lab`'s hosts."""

    def __init__(self, lab: SystemdLab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.inventory = directory / "inventory.yml"
        self._key = directory / "key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True, timeout=60
        )

    def admit(self, hosts: Iterable[SystemdHost]) -> None:
        """Let this operator in on hosts that have booted, and wait until each answers."""
        public = self._key.with_suffix(".pub").read_text()
        for host in hosts:
            host.write("/root/.ssh/authorized_keys", public, mode=0o600)
            host.path("/root/.ssh").chmod(0o700)
        for host in hosts:
            wait_until(partial(_lets_in, host), f"{host.name}: ssh", deadline=30)

    def write_inventory(
        self, groups: Mapping[str, Iterable[SystemdHost]], variables: Mapping[str, Any]
    ) -> None:
        """Groups of hosts, and what all of them share."""
        everybody = {host.name: {"ansible_host": host.address} for hosts in groups.values() for host in hosts}
        access = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(self._key),
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        }
        children: dict[str, Any] = {
            group: {"hosts": {host.name: {} for host in hosts}} for group, hosts in groups.items()
        }
        document = {"all": {"vars": {**access, **variables}, "hosts": everybody, "children": children}}
        self.inventory.write_text(yaml.safe_dump(document))

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that an Ansible command needs to be this operator; nothing of the machine's own
        settings."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_HOME": str(self.directory / ".ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.directory / "cp"),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=30s",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_FORKS": "10",
            "ANSIBLE_TIMEOUT": "60",
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }

    def run(self, *argv: str, cwd: Path | None = None, **extra: str) -> Played:
        """Run a command as this operator, in the operator's namespace."""
        done = subprocess.run(
            [*enter_argv(self.lab.operator), *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=PLAY_DEADLINE_S, check=False, cwd=cwd or self.directory, env={**self.environment, **extra},
        )  # fmt: skip
        return Played(done.returncode, _COLOUR.sub("", done.stdout))

    def try_play(self, name: str, *words: str, **variables: Any) -> Played:
        """Run one of the collection's playbooks, however it ends."""
        given = (
            [f"--extra-vars={yaml.safe_dump(variables, default_flow_style=True, width=10_000)}"]
            if variables
            else []
        )
        return self.run(
            "ansible-playbook", "-i", str(self.inventory), f"flanpy.overlay.{name}", *given, *words
        )

    def play(self, name: str, *words: str, **variables: Any) -> Played:
        """Run the same playbook, and demand that it ends well."""
        played = self.try_play(name, *words, **variables)
        assert played.code == 0, f"{name} ended with {played.code}:\n{played.text[-6000:]}"
        return played

    def leave(self) -> None:
        """End the ssh connections that are kept open for the next play."""
        for socket in (self.directory / "cp").glob("*"):
            subprocess.run(
                ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "x"],
                capture_output=True,
                timeout=30,
                check=False,
            )
        shutil.rmtree(self.directory / "cp", ignore_errors=True)
